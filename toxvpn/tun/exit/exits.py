"""What the VPN has to do with exits: using one (client.py), being one (server.py), or neither.

In: an ExitPlan, and what happens to the VPN. Out: calls of the two. Neighbour: `vpn` makes and calls it.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Literal

from ..._native.path.datapath import Datapath
from ...tox.ownstatus import OwnStatus
from ...tox.peer import Peer
from ...wire.routes import IPNetwork
from ..host.changes import Change
from ..host.kernel import KernelTables
from ..host.netconf import NetworkChanges
from ..host.nftables import table_name
from ..router import Router
from . import leftovers
from .client import ExitClient, offer_untrusted
from .killswitch import PURPOSE
from .server import ExitServer

log = logging.getLogger("toxvpn.tun")


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """`client`: the exit to use. `may`: whether the friend of that public key may exit through this machine.
    `granted`: the networks behind this machine that such a friend may reach as well.
    """

    client: ExitClient | None = None
    may: Callable[[bytes], bool] = lambda public_key: False
    granted: Callable[[bytes], Collection[IPNetwork]] = lambda public_key: ()


class Exits:
    """`begin` before the VPN makes its device, `open` when that is up; `update` and `look` from then on."""

    def __init__(self, plan: ExitPlan) -> None:
        self.client = plan.client
        self.may = plan.may
        self._granted = plan.granted
        self._server: ExitServer | None = None

    def keeps(self, change: Change) -> bool:
        return self.client is not None and self.client.keeps(change)

    def begin(self, network: NetworkChanges, interface: str, *, here: bool) -> None:
        """`here`: the VPN is in this process's network namespace. Raises ToxvpnError."""
        self._network, self._interface = network, interface
        if self.client is not None:
            self.client.shut(network, interface)
        elif here:
            leftovers.remove_switches(network, [table_name(PURPOSE, interface)])

    def open(
        self,
        router: Router,
        datapath: Datapath,
        own_status: OwnStatus,
        own_key: bytes,
        own_ipv6: IPv6Address | None,
        advertised: Collection[IPNetwork],
    ) -> None:
        """`advertised` lies behind this machine. Raises ToxvpnError."""
        self._own_key = own_key
        if self.client is not None:
            self.client.open(router, datapath, own_key, ipv6=own_ipv6 is not None)
        self._server = ExitServer(
            router,
            datapath,
            self._network,
            self._interface,
            own_status,
            own_key,
            self.may,
            self._granted,
            advertised,
            uses_exit=self.client is not None,
        )

    def update(self) -> None:
        """To be called when peers, their addresses, what they say or their rights have changed."""
        if self._server is not None:
            self._server.update()
            if self.client is not None:
                self.client.refresh()

    def look(self, tables: KernelTables) -> None:
        """Takes the kernel's tables as they are now."""
        if self._server is not None:
            self._server.look(tables)

    def role_of(self, peer: Peer) -> Literal["offered", "used"] | None:
        """Whether the peer offers us an exit, or is ours."""
        if self.client is not None and peer.public_key == self.client.public_key:
            return "used"
        offer = offer_untrusted(peer.status_text or b"")
        return "offered" if offer is not None and offer.is_for(peer.public_key, self._own_key) else None

    def hold(self) -> None:
        """The VPN is ready: from now on nothing leaves by another way until a person says so."""
        if self.client is not None:
            self.client.hold()

    def tell_end(self) -> None:
        if self.client is not None and self.client.stays:
            log.warning(
                "this machine's traffic stays blocked, for it is to use the exit %s: start toxvpn again, "
                "or let traffic out with `toxvpn down`",
                self.client.name,
            )
