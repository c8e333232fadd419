"""A network namespace that an ordinary user makes, for a VPN and for the commands that are to use it.

Made by `UserNamespace.start`, in a helper process (helper.py), and gone with it and the last process inside.
This process stays outside: sockets that it makes itself are ordinary ones, those that `socket` makes are
inside. enter.py puts a command inside. Where the machine does not allow it, UserNamespaceError says why.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Collection
from ipaddress import IPv4Interface
from typing import Any, Self

from .. import descriptors as passed
from ..errors import NoPermissionError, ToxvpnError
from ..interpreter import start_helper
from ..state.files import why_not_started
from ..tun.host.device import Offload, TunDevice
from ..tun.host.kernel import KernelTables
from ..tun.host.namespace import Namespace
from ..tun.host.pyroute import IPRoute
from ..tun.neighbours.local_networks import LocalNetwork
from .helper import MESSAGE_BYTES

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0
HELPER = "from toxvpn.usernet import helper; helper.main(int(sys.argv[1]), int(sys.argv[2]))"
LOOPBACK_INDEX = 1
REMEDIES = {
    "apparmor_restrict": "the AppArmor profile contrib/apparmor/toxvpn gives toxvpn these rights",
    "max_user_namespaces": "'sudo sysctl -w user.max_user_namespaces=15000' allows them",
    "unprivileged_userns_clone": "'sudo sysctl -w kernel.unprivileged_userns_clone=1' allows them",
}
"""By a part of the switch's name (namespaces.py)."""


class UserNamespaceError(NoPermissionError):
    """This machine gives an ordinary user no network namespace; `str()` says why, and what to do."""


class UserNamespace(Namespace):
    """Lasts until `close`; `owner` is the ID of the helper process. Any thread may call its methods.

    `fileno` becomes readable when that process has ended. Sockets and devices that are there go on working.
    """

    def __init__(self, control: socket.socket, helper: "subprocess.Popen[bytes]") -> None:
        self._control = control
        self._helper = helper
        self._pidfd = os.pidfd_open(helper.pid)
        self._asking = threading.Lock()
        self.owner: int = helper.pid

    @classmethod
    def start(cls) -> Self:
        """Takes about 0.3 s. Raises UserNamespaceError."""
        try:
            control, helper = start_helper(HELPER)
        except OSError as error:
            reason = f"the helper process did not start: {why_not_started(error)}"
            raise UserNamespaceError(refusal(reason)) from None
        control.settimeout(START_TIMEOUT_S)
        namespace = cls(control, helper)
        try:
            namespace._receive()
        except BaseException as error:
            namespace.close()
            if isinstance(error, ToxvpnError):
                raise UserNamespaceError(refusal(str(error))) from None
            raise
        return namespace

    def fileno(self) -> int:
        return self._pidfd

    def close(self) -> None:
        """Idempotent. Those who are inside stay there."""
        if self._pidfd < 0:
            return
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._helper.wait(STOP_TIMEOUT_S)
        self._helper.kill()
        self._helper.wait()
        os.close(self._pidfd)
        self._pidfd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- what a VPN makes in it

    def iproute(self) -> Any:
        made = self.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, socket.NETLINK_ROUTE)
        return IPRoute(fileno=made.detach())

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        _, [descriptor] = self._ask({"socket": [int(family), int(kind), protocol]})
        return socket.socket(fileno=descriptor)

    def open_tun(self, name: str, *, offload: bool) -> TunDevice:
        facts, [descriptor] = self._ask({"tun": name, "offload": offload})
        return TunDevice(descriptor, facts["name"], facts["vnet_hdr"], Offload(facts["offload"]))

    def read_sysctl(self, key: str) -> str:
        value: str = self._ask({"read": key})[0]["value"]
        return value

    def write_sysctl(self, key: str, value: str) -> None:
        self._ask({"write": key, "value": value})

    def nft(self, script: str, what: str, output_flags: int = 0) -> str:
        request = {"nft": script, "what": what, "flags": output_flags}
        output: str = self._ask(request)[0]["output"]
        return output

    def local_networks(self, tables: KernelTables, ignore: Collection[str]) -> list[LocalNetwork]:
        """Those of its other links: there are none but the one to the Internet, where that was asked for."""
        ours = {LOOPBACK_INDEX, tables.link.index if tables.link else None}
        return [
            LocalNetwork(IPv4Interface(address).network, "of the link to the Internet")
            for index, address in sorted(tables.addresses)
            if index not in ours and ":" not in address
        ]

    # -- the helper

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """Raises OSError, or ToxvpnError as `Namespace` does."""
        with self._asking:
            try:
                self._control.send(json.dumps(request).encode())
                return self._receive()
            except (ConnectionError, TimeoutError) as error:
                raise ToxvpnError(f"the helper process {self.owner} does not answer: {error}") from None

    def _receive(self) -> tuple[dict[str, Any], list[int]]:
        data, descriptors, _ = passed.receive(self._control, MESSAGE_BYTES, 1)
        if not data:
            raise ToxvpnError(f"the helper process has ended with status {self._helper.wait()}")
        answer: dict[str, Any] = json.loads(data)
        if "errno" in answer:
            raise OSError(answer["errno"], answer["error"])
        if "error" in answer:
            denied = answer.get("exit_code") == NoPermissionError.exit_code
            raise (NoPermissionError if denied else ToxvpnError)(answer["error"])
        return answer, descriptors


def refusal(reason: str) -> str:
    """The line for a person: the reason, and what an administrator can do about it."""
    for switch, remedy in REMEDIES.items():
        if switch in reason:
            return f"no network without root here: {reason}; {remedy}"
    return f"no network without root here: {reason}"
