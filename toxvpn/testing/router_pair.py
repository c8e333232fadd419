"""A peer and a rootless router, each in a user's namespace, with a cable between their TUN devices.

Outside is the namespace of the thread that makes them: what the router's ordinary sockets can reach.
"""

import asyncio
from ipaddress import ip_address, ip_network
from typing import Any

from .._native.results import Connection
from ..tox.peer import Peer
from ..tun.host.device import TunDevice
from ..tun.host.namespace import Namespace
from ..tun.host.netlink import Netlink
from ..usernet.namespace import UserNamespace
from ..usernet.router.destinations import Destinations, Protocol
from ..usernet.router.router import UserRouter
from ..wire.answers import Address
from ..wire.ip import MAX_MTU
from .tun_cable import TunCable

PEER = {4: "100.64.0.2", 6: "fd74:6f78::2"}
ROUTER = {4: "100.64.0.1", 6: "fd74:6f78::1"}
BEHIND = {4: "10.0.0.0/24", 6: "fd00:10::/64"}
TARGET = {4: "10.0.0.5", 6: "fd00:10::5"}
LOOPBACK_INDEX = 1


class RouterPair:
    """`refused` are what the router is not to allow; sockets of `peer` reach BEHIND through it."""

    friend = Peer(0, bytes([0xA]) * 32, Connection.UDP)

    def __init__(self) -> None:
        self.refused: set[tuple[Protocol, str, int]] = set()
        self.peer, self.at_router = UserNamespace.start(), UserNamespace.start()
        self._tuns = (
            _connect(self.peer, PEER, [*BEHIND.values(), *ROUTER.values()]),
            _connect(self.at_router, ROUTER, PEER.values()),
        )
        self.cable = TunCable(self._tuns[0].fd, self._tuns[1].fd)
        own, behind = map(ip_address, ROUTER.values()), map(ip_network, BEHIND.values())
        destinations = Destinations(frozenset(own).copy, tuple(behind))
        name = self._tuns[1].name
        self.router = UserRouter(self.at_router, name, destinations, self._peer_at, self._allows)

    async def close(self) -> None:
        await self.router.close()
        self.cable.close()
        for tun in self._tuns:
            tun.close()
        await asyncio.to_thread(self.peer.close)
        await asyncio.to_thread(self.at_router.close)

    def _peer_at(self, address: Address) -> Peer | None:
        return self.friend if str(address) in PEER.values() else None

    def _allows(self, peer: Peer, protocol: Protocol, address: Address, port: int) -> bool:
        return (protocol, str(address), port) not in self.refused


def _connect(namespace: Namespace, own: dict[int, str], others: Any) -> TunDevice:
    tun = namespace.open_tun("vpn", offload=True)

    def configure(route: Any) -> None:
        index = route.link_lookup(ifname=tun.name)[0]
        route.link("set", index=LOOPBACK_INDEX, state="up")
        route.link("set", index=index, mtu=MAX_MTU, state="up")
        for address in own.values():
            length = ip_address(address).max_prefixlen
            route.addr("add", index=index, address=address, prefixlen=length, **_no_dad(address))
        for other in others:
            route.route("add", dst=str(ip_network(other)), oif=index)

    with Netlink(namespace) as net:
        net.change("connect a namespace", configure)
    return tun


def _no_dad(address: str) -> dict[str, int]:
    return {"flags": 2} if ":" in address else {}
