"""The network namespace that a VPN is in: where its device, sockets, sysctls and nftables tables are made.

`HERE` is that of the thread that asks. usernet/ has one that another process owns: then only those who enter
it see the VPN.
"""

import socket
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import nftables
from .device import TunDevice, open_tun

if TYPE_CHECKING:
    from ..neighbours.local_networks import LocalNetwork
    from .kernel import KernelTables

SYSCTL_FOLDER = Path("/proc/sys")


class Namespace:
    """The namespace of the thread that calls. `owner`: the process that owns another one than that."""

    owner: int | None = None

    def iproute(self) -> Any:
        """An IPRoute that reads and changes it; `close` ends it."""
        from .pyroute import IPRoute  # which a helper process has no use for

        return IPRoute()

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of socket(2) in it, closed on exec. Raises OSError."""
        return socket.socket(family, kind, protocol)

    def open_tun(self, name: str, *, offload: bool) -> TunDevice:
        """As device.open_tun."""
        return open_tun(name, offload=offload)

    def read_sysctl(self, key: str) -> str:
        """`key` is a path below /proc/sys. Raises OSError."""
        return (SYSCTL_FOLDER / key).read_text()

    def write_sysctl(self, key: str, value: str) -> None:
        """Raises OSError."""
        (SYSCTL_FOLDER / key).write_text(value)

    def nft(self, script: str, what: str, output_flags: int = 0) -> str:
        """As nftables.run."""
        return nftables.run(script, what, output_flags)

    def local_networks(self, tables: "KernelTables", ignore: Collection[str]) -> "list[LocalNetwork]":
        """As local_networks.local_networks; `tables` are those of this namespace."""
        from ..neighbours.local_networks import local_networks

        return local_networks(tables, ignore)


HERE = Namespace()
