"""Reaches a peer by way of a common friend, where there is no direct path.

A friend that relays for us tells which peers it reaches (relaying.py, wire/reach/relayoffer.py). Each such
way to a peer is one more address of the peer (_native/net/detour.c): here it is decided when toxcore is asked
to look there. That is when the peer is behind a relay for a while, or a direct path falls silent. toxcore
then takes the address as it takes any other, once the owner of the peer's DHT key has answered from there. A
direct path that is found later takes over again (straight.py).

In: the node's events, offers, and how much passes. Out: bootstraps, and `Peer.via`.
"""

import contextlib
import logging
from dataclasses import dataclass, field

from ..._native.net.netio import DetourTraffic
from ..._native.results import Connection
from ...errors import ToxvpnError
from ...wire.reach import relayoffer
from ..events import Event, PeerRemoved
from ..node import Node
from ..peer import Peer
from .recovery import DEAD_S, Recovery
from .silence import Silence

log = logging.getLogger("toxvpn.tox")

SLOTS = 128
OFFER_S = 45.0
"""An offer lasts so long; relays repeat them every 15 s."""
SETTLE_S = 2.0
"""A direct path is mostly found by then."""
WONDER_S, SILENT_S = 0.5, 1.25
"""A peer that is silent for so long is asked for a sign of life, and then looked for."""
DOUBT_S = 0.75
"""The peer looks for us here: if it does not answer directly by then, it has a reason."""
TAKEN_OVER_S = 4.0
"""If a detour has not helped by then, recovery gives all paths up."""
OPEN_S = 3.0
AGAIN_S = 1.0
TRIES = 4
"""Bootstraps in a row, AGAIN_S apart; then a rest, each twice as long as the one before."""
REST_S, LONGEST_REST_S = 15.0, 600.0
USED_S = 3.0
"""toxcore says something on a path every second."""
PROVEN_S = 20.0
"""A way that was used for so long is a good one."""


@dataclass(slots=True)
class _Way:
    """One way to a peer: through the friend `via`, who calls it `index`."""

    slot: int
    via: bytes
    peer: bytes
    index: int
    until_s: float
    bound: tuple[int, int, bytes] | None = None
    """What the slot is set to: the friend's number, the index, and the peer's DHT key."""
    tries: int = 0
    next_s: float = float("-inf")
    used_since_s: float | None = None
    asked: int = 0
    """How often the peer has looked for us here."""
    doubt: tuple[float, int] | None = None
    """Since when we doubt that we hear the peer directly, and how much had come from it by then."""

    def tried(self, now: float) -> None:
        self.tries += 1
        rests, again = divmod(self.tries, TRIES)
        rest_s = min(REST_S * 2 ** (rests - 1), LONGEST_REST_S) if not again else AGAIN_S
        self.next_s = now + rest_s

    def used(self, yes: bool, now: float) -> None:
        if not yes:
            self.used_since_s = None
        elif self.used_since_s is None:
            self.used_since_s = now
        elif now - self.used_since_s >= PROVEN_S:
            self.tries = 0


@dataclass(slots=True, eq=False)
class Detours:
    """One for each node, for as long as the node lives."""

    node: Node
    recovery: Recovery
    _silences: dict[bytes, Silence] = field(default_factory=dict)
    _ways: dict[tuple[bytes, bytes], _Way] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.node.on_packet_id(relayoffer.PACKET_ID, self._receive)
        self.node.subscribe(self._on_event)
        self.node.each_tick.append(self._tick)
        self.recovery.dead_s = lambda peer: TAKEN_OVER_S if self._ways_to(peer) else DEAD_S

    # -- offers --------------------------------------------------------------------------------

    def _receive(self, via: Peer, packet: bytes) -> None:
        known = [peer.public_key for peer in self.node]
        offered = relayoffer.decode_untrusted(packet, via.public_key, self.node.tox.public_key, known)
        if offered is None:
            return
        now = self.node.now()
        for way in list(self._ways.values()):
            if way.via == via.public_key and way.peer not in offered:
                self._end(way)
        for peer, index in offered.items():
            offers = self._ways.get((via.public_key, peer)) or self._begin(via.public_key, peer)
            if offers is not None:
                offers.index, offers.until_s = index, now + OFFER_S

    def _begin(self, via: bytes, peer: bytes) -> _Way | None:
        taken = {way.slot for way in self._ways.values()}
        slot = next((slot for slot in range(SLOTS) if slot not in taken), None)
        if slot is None:
            return None
        self._ways[via, peer] = way = _Way(slot, via, peer, 0, 0.0)
        return way

    def _end(self, way: _Way) -> None:
        del self._ways[way.via, way.peer]
        self.node.tox.clear_detour(way.slot)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerRemoved):
            self._silences.pop(event.peer.public_key, None)
            for way in list(self._ways.values()):
                if event.peer.public_key in (way.via, way.peer):
                    self._end(way)
                    event.peer.via = None

    # -- use -----------------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        in_use: dict[bytes, _Way] = {}
        for way in list(self._ways.values()):
            if now >= way.until_s:
                self._end(way)
                continue
            self._bind(way)
            traffic = self.node.tox.detour_traffic(way.slot)
            if traffic is None:
                continue
            if self._is_used(way, traffic):
                in_use[way.peer] = way
            way.used(in_use.get(way.peer) is way, now)
            if traffic.asked != way.asked:
                way.asked = traffic.asked
                self._on_asked(way, is_recent(traffic.sent_ago_s), now)
            self._resolve_doubt(way, now)
        for key in {way.peer for way in self._ways.values()}:
            if (peer := self.node.peer(key)) is not None:
                self._note(peer, in_use.get(key), now)
                if self._is_lost(peer, now):
                    self._look(peer, now)
        for peer in self.node:
            if peer.via is not None and peer.public_key not in in_use:
                self._note(peer, None, now)

    def _is_used(self, way: _Way, traffic: DetourTraffic) -> bool:
        """By us; while what we send goes straight, it is so until the peer's does as well (straight.py)."""
        peer = self.node.peer(way.peer)
        stays = peer is not None and peer.via == way.via and is_recent(traffic.received_ago_s)
        return stays or is_recent(traffic.sent_ago_s)

    def slot_of(self, peer: Peer) -> int | None:
        """That of the way by which the peer is reached now."""
        way = None if peer.via is None else self._ways.get((peer.via, peer.public_key))
        return None if way is None else way.slot

    def _note(self, peer: Peer, way: _Way | None, now: float) -> None:
        via = way.via if way is not None and peer.connection is Connection.UDP else None
        if via == peer.via:
            return
        peer.via = via
        self.node.path_changed(peer)
        friend = None if via is None else self.node.peer(via)
        if friend is not None:
            peer.log(log, logging.INFO, "reached by way of %s", friend.named)

    def _is_lost(self, peer: Peer, now: float) -> bool:
        """Whether it is without a path that is as good as a detour."""
        if peer.connection is not Connection.UDP:
            return now - peer.changed_s >= SETTLE_S
        silence = self._silences.setdefault(peer.public_key, Silence())
        silent_s = silence.lasts_s(*self.node.traffic(peer), now)
        if WONDER_S <= silent_s < SILENT_S:
            self.recovery.ask(peer)
        return silent_s >= SILENT_S

    def _on_asked(self, way: _Way, sends: bool, now: float) -> None:
        """The peer has lost its direct path. It is not taken at a word that the friend may have made up."""
        peer = self.node.peer(way.peer)
        if peer is None or sends:
            return
        if peer.connection is not Connection.UDP:
            self._try(way, now)
        elif way.doubt is None:
            way.doubt = now, self.node.traffic(peer)[1]
            self.recovery.ask(peer)

    def _resolve_doubt(self, way: _Way, now: float) -> None:
        if way.doubt is None or now - way.doubt[0] < DOUBT_S:
            return
        peer, heard = self.node.peer(way.peer), way.doubt[1]
        way.doubt = None
        if peer is not None and self.node.traffic(peer)[1] == heard:
            self._try(way, now)

    def _ways_to(self, peer: Peer) -> list[_Way]:
        return [way for way in self._ways.values() if way.peer == peer.public_key]

    def _look(self, peer: Peer, now: float) -> None:
        """On the way that was tried least, one at a time."""
        for way in sorted(self._ways_to(peer), key=lambda way: way.tries):
            if self._try(way, now):
                return

    def _try(self, way: _Way, now: float) -> bool:
        """Has toxcore look for the peer there; whether it is time for that, and the friend is at hand."""
        friend = self.node.peer(way.via)
        if now < way.next_s or way.bound is None or friend is None or not is_direct(friend):
            return False
        way.tried(now)
        place = self.node.tox.open_detour(way.slot, OPEN_S)
        if place is not None:
            with contextlib.suppress(ToxvpnError):
                self.node.tox.bootstrap(*place, way.bound[2])
        return True

    def _bind(self, way: _Way) -> None:
        """Has datagrams pass, once the peer's DHT key is known: the other side may look here first."""
        friend, peer = self.node.peer(way.via), self.node.peer(way.peer)
        dht_key = None if peer is None else self.recovery.dht_key(peer)
        if friend is None or dht_key is None:
            return
        bound = friend.number, way.index, dht_key
        if way.bound != bound:
            way.bound = bound if self.node.tox.set_detour(way.slot, *bound) else None


def is_recent(ago_s: float | None) -> bool:
    return ago_s is not None and ago_s < USED_S


def is_direct(peer: Peer) -> bool:
    return peer.connection is Connection.UDP and peer.via is None
