"""Goes back to a direct path to a peer that is reached by way of a friend.

toxcore prefers the address of a detour, an IPv6 one, to a public IPv4 address, and looks for no other while
it has one. So here both look for each other where they were, now and then, and knock there: a packet of the
connection goes past the detour. If it arrives, the peer's toxcore takes what we send from here, and all of
it may go straight for a while. When both sides do so, nothing comes by the detour any more, and toxcore
itself goes over to the direct path. So nothing gets lost. In: the node's events and knocks. Out: knocks,
and where the detour leads.
"""

import secrets
from dataclasses import dataclass, field

from ...wire.ratelimit import RateLimit
from ...wire.reach import knock
from ...wire.reach.knock import Knock, KnockKind
from ..events import Event, PeerRemoved
from ..node import Node
from ..peer import Peer
from .detours import Detours
from .recovery import Recovery

LOOK_S, LONGEST_S = 3.0, 30.0
"""The pause between tries, each half as long again as the one before."""
KNOCK_AFTER_S = 0.5
"""toxcore takes packets only from where it has found the peer."""
STRAIGHT_S = 12.0
"""toxcore gives a path up 8 s after the last packet."""
MOST_PLACES = 4


@dataclass(slots=True)
class _Try:
    """Of one peer that is on a detour."""

    look_s: float
    pause_s: float = LOOK_S
    knock_s: float | None = None
    knocked: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Where we knocked last, by token: at random, as who guesses one leads what we send anywhere."""
    leads: tuple[str, int] | None = None
    """Where packets go straight to, until `leads_until_s`."""
    leads_until_s: float = 0.0


class Straight:
    """One for each node, for as long as the node lives."""

    def __init__(self, node: Node, recovery: Recovery, detours: Detours) -> None:
        self._node = node
        self._recovery = recovery
        self._detours = detours
        self._tries: dict[bytes, _Try] = {}
        self._answers: dict[bytes, RateLimit] = {}
        node.on_packet_id(knock.PACKET_ID, self._receive)
        node.subscribe(self._on_event)
        node.each_tick.append(self._tick)

    def _tick(self, now: float) -> None:
        for peer in self._node:
            slot = self._detours.slot_of(peer)
            if slot is None:
                self._tries.pop(peer.public_key, None)
                continue
            this = self._tries.setdefault(peer.public_key, _Try(now + LOOK_S))
            if now >= this.look_s:
                this.look_s, this.knock_s = now + this.pause_s, now + KNOCK_AFTER_S
                this.pause_s = min(this.pause_s * 1.5, LONGEST_S)
                self._send(peer, Knock(KnockKind.LOOK))
                self._look(peer)
            elif this.knock_s is not None and now >= this.knock_s:
                this.knock_s = None
                self._knock(peer, slot, this, now)

    def _places(self, peer: Peer) -> list[tuple[str, int]]:
        return sorted(self._recovery.places(peer))[:MOST_PLACES]

    def _look(self, peer: Peer) -> None:
        for place in self._places(peer):
            self._recovery.ask_at(peer, place)

    def _knock(self, peer: Peer, slot: int, this: _Try, now: float) -> None:
        straight = this.leads is not None and now < this.leads_until_s
        places = [this.leads] if this.leads is not None and straight else self._places(peer)
        this.knocked.clear()
        for place in places:
            token = secrets.randbelow(knock.LAST_TOKEN + 1)
            this.knocked[token] = place
            if not straight:
                self._node.tox.straighten_detour(slot, *place, 1.0)
            self._send(peer, Knock(KnockKind.KNOCK, token))
            if not straight:
                self._node.tox.straighten_detour(slot, *place, 0.0)

    def _send(self, peer: Peer, told: Knock) -> None:
        self._node.tox.send_lossy(peer.number, knock.encode(told))

    def _receive(self, peer: Peer, packet: bytes) -> None:
        told = knock.decode_untrusted(packet)
        if told is None:
            return
        now = self._node.now()
        if told.kind is KnockKind.HEARD:
            self._on_heard(peer, told.token, now)
        elif self._answers.setdefault(peer.public_key, RateLimit(2, 8)).take(now):
            if told.kind is KnockKind.LOOK:
                self._look(peer)
            else:
                self._send(peer, Knock(KnockKind.HEARD, told.token))

    def _on_heard(self, peer: Peer, token: int, now: float) -> None:
        this, slot = self._tries.get(peer.public_key), self._detours.slot_of(peer)
        place = None if this is None else this.knocked.get(token)
        if this is not None and place is None:
            this.knocked.clear()  # so one guess is all
        if this is not None and slot is not None and place is not None:
            self._node.tox.straighten_detour(slot, *place, STRAIGHT_S)
            this.leads, this.leads_until_s = place, now + STRAIGHT_S
            this.pause_s = LOOK_S  # it is proven again before that is over

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerRemoved):
            self._tries.pop(event.peer.public_key, None)
            self._answers.pop(event.peer.public_key, None)
