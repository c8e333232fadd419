"""Carries what peers ask for of this machine and of what lies behind it, where the VPN is a user's network.

In: the VPN, and what each peer may reach. Out: a router (usernet/router/), made when there is something that
a peer may reach by it: only what an `allow` names. Without one, a peer on the VPN reaches what commands of
`toxvpn exec` serve, and nothing of this machine.
"""

import logging
from collections.abc import Callable, Collection

from ..errors import ToxvpnError
from ..tox.events import Event, PeerConnection, PeerRemoved
from ..tox.node import Node
from ..tox.peer import Peer
from ..tun.filters import Reach
from ..tun.vpn import Vpn
from ..usernet.router.destinations import Destinations, Protocol
from ..usernet.router.router import UserRouter
from ..wire.answers import Address
from ..wire.policy import ICMP_OF, Filter
from ..wire.routes import IPNetwork

log = logging.getLogger("toxvpn.usernet")


class RouterOfUser:
    """Works until `close`. The router is there as soon as there is something to carry."""

    def __init__(self, node: Node, vpn: Vpn, stated: Callable[[bytes], Reach | None]) -> None:
        """`stated`: what an `allow` names, by public key; None without one.

        Raises ToxvpnError where networks are advertised and cannot be carried.
        """
        self._node = node
        self._vpn = vpn
        self._stated = stated
        self._router: UserRouter | None = None
        if vpn.subnets.advertised:
            self._make(vpn.subnets.advertised)
        node.subscribe(self._on_event)

    def update(self) -> None:
        """The rules may have changed."""
        if self._router is None and any(self._stated(peer.public_key) for peer in self._node):
            self._make(())

    def _make(self, advertised: Collection[IPNetwork]) -> None:
        destinations = Destinations(self._own, advertised)
        try:
            self._router = UserRouter(
                self._vpn.namespace, self._vpn.device.name, destinations, self._vpn.peer_at, self._allows
            )
        except (ToxvpnError, OSError) as failure:
            if advertised:
                raise ToxvpnError(f"no network can be advertised without root here: {failure}") from None
            log.warning("peers cannot reach what their `allow` names on this machine: %s", failure)

    @property
    def drops(self) -> dict[str, int]:
        return {} if self._router is None else {drop.value: n for drop, n in self._router.drops.items() if n}

    async def close(self) -> None:
        """Resets what runs."""
        self._node.unsubscribe(self._on_event)
        if self._router is not None:
            await self._router.close()

    def _allows(self, peer: Peer, protocol: Protocol, address: Address, port: int) -> bool:
        rules = self._stated(peer.public_key) or {}
        number = ICMP_OF[address.version] if protocol is Protocol.ICMP else protocol.value
        return Filter(self._own(), rules).judge(address, number, port) is not None

    def _own(self) -> list[Address]:
        return [*self._vpn.router.own, *([self._vpn.ipv6] if self._vpn.ipv6 else [])]

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection):
            self.update()
        elif isinstance(event, PeerRemoved) and self._router is not None:
            self._router.forget(event.peer)
