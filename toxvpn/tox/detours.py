"""Reaches a peer by way of a common friend, where there is no direct path.

A friend that relays for us tells which peers it reaches (relaying.py, wire/relayoffer.py). Each such way to a
peer is one more address of the peer (_native/net/detour.c): here it is decided when toxcore is asked to look
there. toxcore then takes the address as it takes any other, once the owner of the peer's DHT key has answered
from there.

In: the node's events, offers, and how much passes. Out: bootstraps, and `Peer.via`.
"""

import contextlib
import logging
from dataclasses import dataclass, field

from .._native.results import Connection
from ..errors import ToxvpnError
from ..wire import relayoffer
from .events import Event, PeerRemoved
from .node import Node
from .peer import Peer
from .recovery import Recovery

log = logging.getLogger("toxvpn.tox")

SLOTS = 128
OFFER_S = 45.0
"""An offer lasts so long; relays repeat them every 15 s."""
SETTLE_S = 2.0
"""A direct path is mostly found by then."""
OPEN_S = 3.0
AGAIN_S = 1.0
TRIES = 4
"""Bootstraps in a row, AGAIN_S apart; then a rest, each twice as long as the one before."""
REST_S, LONGEST_REST_S = 15.0, 600.0
USED_S = 3.0
"""toxcore says something on a path every second."""
PROVEN_S = 60.0
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
    _ways: dict[tuple[bytes, bytes], _Way] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.node.on_packet_id(relayoffer.PACKET_ID, self._receive)
        self.node.subscribe(self._on_event)
        self.node.each_tick.append(self._tick)

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
            for way in list(self._ways.values()):
                if event.peer.public_key in (way.via, way.peer):
                    self._end(way)
                    event.peer.via = None

    # -- use -----------------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        in_use: dict[bytes, bytes] = {}
        for way in list(self._ways.values()):
            if now >= way.until_s:
                self._end(way)
                continue
            self._bind(way)
            traffic = self.node.tox.detour_traffic(way.slot)
            uses = traffic is not None and traffic.sent_ago_s is not None and traffic.sent_ago_s < USED_S
            way.used(uses, now)
            if uses:
                in_use[way.peer] = way.via
        for peer in self.node:
            via = in_use.get(peer.public_key) if peer.connection is Connection.UDP else None
            if via != peer.via:
                peer.via = via
                self._tell_of(peer)
            if via is None and peer.connection is not Connection.UDP and now - peer.changed_s >= SETTLE_S:
                self._try(peer, now)

    def _tell_of(self, peer: Peer) -> None:
        friend = None if peer.via is None else self.node.peer(peer.via)
        if friend is not None:
            peer.log(log, logging.INFO, "reached by way of %s", friend.named)

    def _try(self, peer: Peer, now: float) -> None:
        """Has toxcore look for the peer on the way that was tried least, one at a time."""
        ready = [way for way in self._ways.values() if way.peer == peer.public_key and now >= way.next_s]
        for way in sorted(ready, key=lambda way: way.tries):
            friend = self.node.peer(way.via)
            if way.bound is None or friend is None or not is_direct(friend):
                continue
            way.tried(now)
            place = self.node.tox.open_detour(way.slot, OPEN_S)
            if place is not None:
                with contextlib.suppress(ToxvpnError):
                    self.node.tox.bootstrap(*place, way.bound[2])
            return

    def _bind(self, way: _Way) -> None:
        """Has datagrams pass, once the peer's DHT key is known: the other side may look here first."""
        friend, peer = self.node.peer(way.via), self.node.peer(way.peer)
        dht_key = None if peer is None else self.recovery.dht_key(peer)
        if friend is None or dht_key is None:
            return
        bound = friend.number, way.index, dht_key
        if way.bound != bound:
            way.bound = bound if self.node.tox.set_detour(way.slot, *bound) else None


def is_direct(peer: Peer) -> bool:
    return peer.connection is Connection.UDP and peer.via is None
