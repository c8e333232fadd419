"""Who may begin a conversation with what: asked once for each, for all protocols.

In: a flow that a peer begins. Out: the peer, and where the flow leads outside; or nothing: then it is
counted, and the peer is told.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ...tcpforward.budget import DESCRIPTORS
from ...tox.peer import Peer
from ...wire.answers import Address, FlowEnds, Unreachable, unreachable
from .destinations import Allows, Destinations, Protocol

DESCRIPTORS_OF_ONE = 2
"""Descriptors that a flow takes: one inside, one outside."""

PeerAt = Callable[[Address], Peer | None]
Send = Callable[[bytes], None]


class Drop(StrEnum):
    """Why something of a peer was not carried."""

    MALFORMED = "router_malformed"
    UNKNOWN_SOURCE = "router_unknown_source"
    NOT_OFFERED = "router_not_offered"
    NOT_ALLOWED = "router_not_allowed"
    TOO_MANY = "router_too_many_flows"
    QUEUE_FULL = "router_queue_full"


@dataclass(frozen=True, slots=True)
class Admitted:
    """`host` is an address, or "localhost"."""

    peer: Peer
    host: str


class Doorkeeper:
    """`peer_at` says who may send from an address: the datapath has checked that it is them."""

    def __init__(
        self,
        destinations: Destinations,
        peer_at: PeerAt,
        allows: Allows,
        send: Send,
        drops: Counter[Drop],
    ) -> None:
        self._destinations = destinations
        self.drops = drops
        self._peer_at = peer_at
        self._allows = allows
        self._send = send

    def admit(self, protocol: Protocol, flow: FlowEnds, packet: bytes) -> Admitted | None:
        """`packet` is the first of the flow, or its head."""
        peer = self._peer_at(flow.source)
        if peer is None:
            self.drops[Drop.UNKNOWN_SOURCE] += 1
            return None
        host = self._destinations.host(flow.destination)
        if host is None:
            self.drops[Drop.NOT_OFFERED] += 1
        elif self._allows(peer, protocol, flow.destination, flow.destination_port):
            return Admitted(peer, host)
        else:
            self.drops[Drop.NOT_ALLOWED] += 1
        self._send(unreachable(flow, packet, Unreachable.PROHIBITED))
        return None

    def take_descriptors(self, held: int) -> bool:
        """Takes those of one more flow for a peer that has `held` flows of the kind, if there are any.

        They are given back with `give_descriptors`.
        """
        if DESCRIPTORS.allows_more(held * DESCRIPTORS_OF_ONE) and DESCRIPTORS.take(DESCRIPTORS_OF_ONE):
            return True
        self.drops[Drop.TOO_MANY] += 1
        return False


def give_descriptors() -> None:
    DESCRIPTORS.give(DESCRIPTORS_OF_ONE)
