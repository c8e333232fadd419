"""Tells the network under toxcore how a network with IPv6 alone leads to IPv4 (_native/net/nat64.c).

In: the name server's addresses for a name that has none of IPv6, which show what its NAT64 puts before
an IPv4 address (RFC 7050). Out: that prefix, or none where there is IPv4. Only prefixes of 96 bits, the usual
ones, are known.
"""

import logging
from collections.abc import Iterable
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address

from ..._native.results import Connection
from ..bootstrap import Resolve
from ..events import Event, SelfConnection
from ..node import Node
from .sources import ANYWHERE, source_of

log = logging.getLogger("toxvpn.tox")

NAME = "ipv4only.arpa"
ADDRESSES = IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171")
"""The name's own, by RFC 7050 §2.2."""
IPV4_BITS = 32
AGAIN_S, MOST_S = 5.0, 60.0
"""Without an answer it is asked for again after so long, then twice as long, at most: just after a move,
the name server may still be the old network's."""


def prefix_of(addresses: Iterable[str]) -> str | None:
    """What stands before one of ADDRESSES; None: those of IPv6 are none that a NAT64 made."""
    for found in map(ip_address, addresses):
        if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
            before, ipv4 = divmod(int(found), 1 << IPV4_BITS)
            if IPv4Address(ipv4) in ADDRESSES:
                return str(IPv6Address(before << IPV4_BITS))
    return None


class Nat64:
    """One for each node, for as long as the node lives. `mark`: that of toxcore's sockets (make_tox).

    It looks at the start, when told of a `move`, and once there is a network that it does not know of yet;
    again and again while there is no answer.
    """

    def __init__(self, node: Node, resolve: Resolve, mark: int = 0) -> None:
        self._node = node
        self._resolve = resolve
        self._mark = mark
        self._prefix: str | None = None
        self._moves = 0
        self._waits = False
        self._asked_s, self._pause_s = float("-inf"), AGAIN_S
        node.subscribe(self._on_event)
        node.each_tick.append(self._tick)
        self.moved()

    def moved(self) -> None:
        """The machine is in another network, perhaps. What was known is used until the answer is here."""
        self._moves += 1
        self._pause_s = AGAIN_S
        self._look()

    def _look(self) -> None:
        self._waits = not self._has_ipv4()
        self._asked_s = self._node.now()
        if self._waits:
            self._resolve(NAME, partial(self._on_found, self._moves))
        else:
            self._tell(None)

    def _tick(self, now: float) -> None:
        if self._waits and now - self._asked_s >= self._pause_s:
            self._pause_s = min(2 * self._pause_s, MOST_S)
            self._look()

    def _on_event(self, event: Event) -> None:
        online = isinstance(event, SelfConnection) and event.connection is not Connection.NONE
        if online and self._prefix is None:
            self._look()

    def _on_found(self, moves: int, addresses: list[str]) -> None:
        """`moves`: how many there had been when it was asked; the prefix of another network leads nowhere."""
        if moves != self._moves:
            self._look()
        elif not self._has_ipv4():
            self._waits = False
            self._tell(prefix_of(addresses))

    def _tell(self, prefix: str | None) -> None:
        if prefix != self._prefix and self._node.tox.set_nat64(prefix or ""):
            self._prefix = prefix
            if prefix is not None:
                log.info("this network has no IPv4, and translates to it (NAT64) at %s/96", prefix)

    def _has_ipv4(self) -> bool:
        return source_of(ANYWHERE[0], self._mark) is not None
