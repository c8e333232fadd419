"""A relay of a peer's own (`-t`) carries what goes to peers that are on relays, before a relay of strangers.

A bootstrap node looks at its connections every 30 ms; a toxvpn answers at once. toxcore takes the relay that
came first, and mostly never connects to that of a peer: it keeps three that nobody needs, and names peers two
or three at random. Here each side names the peer's relay, and its own, to its own toxcore (reunion.py); where
both are connected to it, the network under toxcore prefers it (_native/net/quick.h). When that relay is gone,
the next packets take another.
"""

import logging
from collections.abc import Iterator

from ..._native.results import Connection
from ...errors import ToxvpnError
from ...wire.ratelimit import RateLimit
from ...wire.reach.introduction import NodeAt
from ..events import Event, PeerConnection, PeerRemoved
from ..node import Node
from ..peer import Peer
from .recovery import Recovery
from .relays import places_of_relays
from .reunion import Reunion

log = logging.getLogger("toxvpn.tox")

Place = tuple[str, int]
LOOK_S = 1.0
NAMES_PER_S, NAMES_AT_ONCE = 1 / 60, 4
"""Of relays of a peer that is on others, until it is connected by one of those."""


class QuickRelays:
    """One for each node, for as long as the node lives."""

    def __init__(self, node: Node, recovery: Recovery, reunion: Reunion) -> None:
        self._node = node
        self._recovery = recovery
        self._reunion = reunion
        self._looked_s = float("-inf")
        self._names: dict[bytes, RateLimit] = {}
        self._used: dict[bytes, list[NodeAt]] = {}
        """By the public key of the peer that told of them."""
        node.subscribe(self._on_event)
        node.each_tick.append(self._tick)

    def _tick(self, now: float) -> None:
        if now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        relayed = [peer for peer in self._node if peer.connection is Connection.TCP]
        if not relayed:
            return
        places = places_of_relays(self._node.tox)
        for peer in relayed:
            self._rank(peer, places)
            if not self._node.tox.call_relays(peer.number):
                self._name(peer, now)

    def _rank(self, peer: Peer, places: dict[int, Place]) -> None:
        """Quick is what leads to that peer, or to ourselves: nobody else can come between."""
        tox, known, key = self._node.tox, self._node.relays, self._recovery.dht_key(peer)
        quick = {("127.0.0.1", tox.tcp_port), *(place for place, owner in known.items() if owner == key)}
        quick.update((each.host, each.port) for each in self._used.get(peer.public_key, ()))
        tox.rank_relays({fd: place in quick for fd, place in places.items()})

    def _name(self, peer: Peer, now: float) -> None:
        """toxcore connects to them for this peer, and so does the peer's, with the same ones."""
        relays = [*self._own(), *self._theirs(peer)]
        limit = self._names.setdefault(peer.public_key, RateLimit(NAMES_PER_S, NAMES_AT_ONCE))
        if not relays or not limit.take(now):
            return
        self._forget(peer)
        for each in relays:
            self._use(peer, each)
        self._reunion.name_relays(peer, relays)

    def _own(self) -> Iterator[NodeAt]:
        tox = self._node.tox
        if tox.tcp_port:
            yield NodeAt("127.0.0.1", tox.tcp_port, tox.dht_id, relay=True)

    def _theirs(self, peer: Peer) -> list[NodeAt]:
        """What another peer claims of a place does not count: whose relay it is, its key has to prove."""
        key, known = self._recovery.dht_key(peer), self._node.relays
        claimed = {(each.host, each.port, each.dht_key) for used in self._used.values() for each in used}

        def may_be_its(place: Place) -> bool:
            owner = known.get(place, key)
            return owner == key or (*place, owner) in claimed

        relays = self._reunion.relays_of(peer)
        return [each for each in relays if each.dht_key == key and may_be_its((each.host, each.port))]

    def _use(self, peer: Peer, relay: NodeAt) -> None:
        """toxcore takes a relay for a peer that has three already only when it is connected there."""
        try:
            self._node.tox.add_tcp_relay(relay.host, relay.port, relay.dht_key)
        except ToxvpnError as failure:
            peer.log(log, logging.DEBUG, "its relay cannot be used: %s", failure)
            return
        place, known = (relay.host, relay.port), self._node.relays
        if relay.dht_key != self._node.tox.dht_id and known.get(place) != relay.dht_key:
            known.setdefault(place, relay.dht_key)
            self._used.setdefault(peer.public_key, []).append(relay)

    def _forget(self, peer: Peer) -> None:
        for relay in self._used.pop(peer.public_key, ()):
            place = relay.host, relay.port
            if self._node.relays.get(place) == relay.dht_key:  # else another has it by now
                del self._node.relays[place]

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerRemoved) or (isinstance(event, PeerConnection) and not event.peer.online):
            self._forget(event.peer)
        if isinstance(event, PeerRemoved):
            self._names.pop(event.peer.public_key, None)
