"""Peers that have met before find each other at once.

toxcore looks for a friend by the onion, which takes seconds: it announces itself, and finds who knows the
friend, before it learns the friend's DHT key and asks for its address. Peers of ours tell each other that key
while they are connected (recovery.py), and the relays that they use. Both are kept (met.py), with the
addresses that the peer was seen at. At the next start our toxcore gets them as an introduction, as if it came
from the friend (wire/reach/introduction.py): it asks at those addresses, and connects at once. Whether the
friend is there, its keys have to prove as ever. Where it has other keys or addresses by now, toxcore finds it
as it always does: the friend's own announcement outranks ours.

Where all relays to a connected peer are gone, toxcore waits until it has lost the peer, 32 s, before it takes
others, or the same again. Both ends name each other's last relays to their own toxcore, until it is heard.
After the network was gone, peers that were lost meanwhile are introduced once more, for some time.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple

from ..._native.results import Connection
from ...wire import statusmessage
from ...wire.ratelimit import RateLimit
from ...wire.reach import introduction, relaylist
from ...wire.reach.introduction import NodeAt
from ..events import Event, PeerConnection, PeerRemoved, PeerStatus, SelfConnection
from ..node import Node
from ..peer import Peer
from .met import Met, MetBook, MetSnapshot
from .recovery import Recovery
from .relays import connected_relays, own_relays

TIMES = 4
"""Introductions of each peer: datagrams get lost, and relays count only once toxcore connects."""
PEERS_AT_ONCE = 16
"""A tick; the receive buffer takes some hundred datagrams."""
BACK_S, BACK_AGAIN_S = 15.0, 2.0
"""For so long after the network is back, and so often: relays count only while toxcore makes a connection."""
LOOK_S = 1.0
TELLS = 3
"""Times that a peer is told of our relays after each change, LOOK_S apart: packets are lossy."""
COMPARE_S = 10.0
"""Interval of looks for other relays."""
AHEAD_S = 60
"""toxcore's clock is at most so far ahead (MOST_AHEAD_S): by it the friend numbers its own announcements."""


class Reunion:
    """One for each node, for as long as the node lives. `on_change`: the record should be saved soon."""

    def __init__(
        self,
        node: Node,
        recovery: Recovery,
        book: MetBook,
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.time,
        mark: int = 0,
    ) -> None:
        self._node = node
        self._recovery = recovery
        self._book = book
        self._on_change = on_change
        self._clock = clock
        self._mark = mark
        self._changes = RateLimit(1 / 60, 4)
        self._starts = RateLimit(1 / 60, 2)
        self._looked_s = float("-inf")
        self._due: list[list[bytes]] = []
        self._again_s = self._back_until_s = float("-inf")
        self._compared_s = float("-inf")
        self._own_relays: tuple[NodeAt, ...] = ()
        self._tells: dict[bytes, int] = {}
        self._relays_of: dict[bytes, tuple[NodeAt, ...]] = {}
        self._numbers: dict[bytes, int] = {}
        """Of the last introduction of each peer: above those that its own announcements had in this run."""
        recovery.without_relay.append(self._name_relays)
        node.subscribe(self._on_event)
        node.on_packet_id(relaylist.PACKET_ID, self._receive)
        node.each_tick.append(self._tick)
        node.after_silence.append(self._back)
        self._plan()

    def _plan(self) -> None:
        if self._starts.take(self._node.now()):
            self._due = self._groups() * TIMES

    def _groups(self) -> list[list[bytes]]:
        keys = self._book.latest()
        return [keys[at : at + PEERS_AT_ONCE] for at in range(0, len(keys), PEERS_AT_ONCE)]

    def _back(self) -> None:
        self._back_until_s = self._node.now() + BACK_S

    def _tick(self, now: float) -> None:
        if not self._due and self._again_s <= now < self._back_until_s:
            self._due = self._groups()
            self._again_s = now + BACK_AGAIN_S
        if self._due:
            self._introduce(self._due.pop(0))
        if now - self._looked_s >= LOOK_S:
            self._looked_s = now
            self._look(now)

    # -- at the start --------------------------------------------------------------------------

    def _introduce(self, keys: list[bytes]) -> None:
        for key in keys:
            peer, met = self._node.peer(key), self._book.get(key)
            if peer is not None and not peer.online and met is not None:
                self._send(key, self._content(key, met))

    def _send(self, key: bytes, content: bytes) -> None:
        """To our own toxcore, as if it came from that friend."""
        port = self._node.tox.udp_port
        if not port:  # behind a proxy
            return
        self._node.turns.note_activity()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own, contextlib.suppress(OSError):
            for datagram in self._node.tox.introductions(key, content):
                own.sendto(datagram, ("127.0.0.1", port))

    def _content(self, key: bytes, met: Met) -> bytes:
        number = self._numbers[key] = self._numbers.get(key, 0) + 1
        places = [NodeAt(*place, met.dht_key) for place in met.places]
        nodes = [*places, *met.relays] if number % 2 else [*met.relays, *places]
        return introduction.encode(number, met.dht_key, nodes)

    # -- while connected -----------------------------------------------------------------------

    def _name_relays(self, peer: Peer) -> None:
        """toxcore connects to those for this peer at once, and so does the peer's, with the same ones."""
        self.name_relays(peer, sorted({*self.relays_of(peer), *self._own_relays}, key=astuple))

    def relays_of(self, peer: Peer) -> tuple[NodeAt, ...]:
        """Those that the peer has told us of."""
        return self._relays_of.get(peer.public_key, ())

    def name_relays(self, peer: Peer, relays: Sequence[NodeAt]) -> None:
        """To our own toxcore, as if that connected peer of ours did."""
        dht_key, number = self._recovery.dht_key(peer), self._numbers.get(peer.public_key)
        if dht_key is None or number is None or not peer.online:
            return
        for at in range(0, len(relays), introduction.MOST_NODES):
            number += 1
            nodes = relays[at : at + introduction.MOST_NODES]
            self._send(peer.public_key, introduction.encode(number, dht_key, nodes))
        self._numbers[peer.public_key] = number

    def snapshot(self) -> MetSnapshot:
        """The record, with where each connected peer is now."""
        for peer in self._node:
            self._note(peer)
        return self._book.snapshot()

    def _look(self, now: float) -> None:
        """Tells peers of our relays, those that have just connected, and all when the relays are others."""
        if self._tells or now - self._compared_s >= COMPARE_S:
            self._compared_s = now
            self._compare()
        for key, left in list(self._tells.items()):
            peer = self._node.peer(key)
            if peer is not None and self._is_ours(peer):
                self._tell(peer, left - 1, now)

    def _tell(self, peer: Peer, left: int, now: float) -> None:
        if self._own_relays:
            self._node.tox.send_lossy(peer.number, relaylist.encode(self._own_relays))
        self._tells[peer.public_key] = left
        if not left:
            del self._tells[peer.public_key]
            if self._note(peer) and self._changes.take(now):
                self._on_change()

    def _compare(self) -> None:
        online = [peer.public_key for peer in self._node if self._is_ours(peer)]
        tox, known = self._node.tox, self._node.relays
        relays = (*own_relays(tox, self._mark), *connected_relays(tox, known)) if online else ()
        if relays and relays != self._own_relays:
            self._own_relays = relays
            self._tells = dict.fromkeys(online, TELLS)

    def _is_ours(self, peer: Peer) -> bool:
        return peer.online and self._recovery.dht_key(peer) is not None

    def _note(self, peer: Peer) -> bool:
        dht_key = self._recovery.dht_key(peer)
        if dht_key is None or not peer.online:
            return False
        places = tuple(place for _, place in sorted(peer.places.items()))
        relays = self._relays_of.get(peer.public_key, ())
        return self._book.note(peer.public_key, Met(dht_key, places, relays, self._clock()))

    def _receive(self, peer: Peer, packet: bytes) -> None:
        relays = relaylist.decode_untrusted(packet)
        if relays is not None:
            self._relays_of[peer.public_key] = relays

    def _on_event(self, event: Event) -> None:
        if isinstance(event, SelfConnection) and event.connection is not Connection.NONE:
            self._plan()
        elif isinstance(event, PeerStatus) and statusmessage.decode(event.text).toxvpn is not None:
            self._tells[event.peer.public_key] = TELLS
            number = round(self._clock()) + AHEAD_S
            self._numbers[event.peer.public_key] = max(number, self._numbers.get(event.peer.public_key, 0))
        elif isinstance(event, PeerConnection) and not event.peer.online:
            self._tells.pop(event.peer.public_key, None)
        elif isinstance(event, PeerRemoved):
            self._tells.pop(event.peer.public_key, None)
            self._numbers.pop(event.peer.public_key, None)
            self._relays_of.pop(event.peer.public_key, None)
