"""The node: our own place in the Tox network, and the peers in it.

In: calls of its owner, and what toxcore reports during a turn (turns.py). Out: friend requests, packets, and
events (events.py) to those who have subscribed (subscriptions.py).
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from .._native.path.packets import Counters
from .._native.results import Connection, SendResult
from .._native.toxcore import Tox
from ..errors import ToxvpnError
from ..wire.toxid import short_key
from .bootstrap import Contact
from .events import (
    Event,
    FriendRequest,
    PeerConnection,
    PeerPacketSize,
    PeerRemoved,
    PeerStatus,
    SelfConnection,
)
from .peer import Peer
from .reach.returning import Noticed, Returning
from .requests import FriendRequests
from .seenrequests import SeenRequests
from .statuses import Statuses
from .subscriptions import OnPacket, Subscriptions
from .turns import TurnLoop

log = logging.getLogger("toxvpn.tox")


class Bootstraps(Protocol):
    """Says which nodes to ask for the network, and when (bootstrap.py)."""

    def due(self, now: float, connection: Connection) -> list[Contact]: ...
    def hurry(self, now: float) -> None: ...


class Carried(Protocol):
    """A datapath."""

    def counters(self, friend_number: int) -> Counters: ...

    def heard(self, friend_number: int) -> None: ...


class Node:
    """Owns the Tox handle. Made inside a running loop; `start` once, then `close`."""

    def __init__(self, tox: Tox, bootstraps: Bootstraps) -> None:
        self.tox = tox
        self.connection = Connection.NONE
        self.turns = TurnLoop(tox, self._tick)
        self.now = self.turns.now
        self.datapaths: list[Carried] = []
        """What carries packets between peers and a device beside this."""
        self.after_nap: list[Callable[[float], None]] = []
        """Called with how long this machine slept, or this process stood still, before the next turn."""
        self.each_tick: list[Callable[[float], None]] = []
        """Called several times a second, with the time on the loop's clock."""
        self.after_silence: list[Callable[[], None]] = []
        """Called when somebody in the network answers again: it is back, and we are not in it yet."""
        self.relays: dict[tuple[str, int], bytes] = {}
        """The TCP relays that it was told to use, by address and port: their DHT keys."""
        self.name_of: Callable[[bytes], str | None] = lambda _: None
        """The name that a person here has given to a public key, for the log."""
        self._bootstraps = bootstraps
        self._requests = FriendRequests()
        self._seen_requests = SeenRequests()
        self._statuses = Statuses()
        self._returning = Returning(self.now())
        self._peers: dict[int, Peer] = {}
        self._subscriptions = Subscriptions()
        self.turns.after_turn.append(self._subscriptions.flush)
        tox.handler = self
        for number in tox.friend_list():
            self._enter(number)

    def start(self) -> None:
        self.turns.start()

    def close(self) -> None:
        """Leaves the network. Idempotent."""
        if not self.closed:
            self.turns.close()
            self.tox.handler = None
            self.tox.close()

    @property
    def closed(self) -> bool:
        return self.turns.closed

    def is_alive(self, within_s: float) -> bool:
        """Whether there was a turn within this time; always true before `start` and after `close`."""
        return self.turns.is_alive(within_s)

    # -- subscribing ---------------------------------------------------------------------------

    def subscribe(self, on_event: Callable[[Event], None]) -> None:
        self._subscriptions.add(on_event)

    def unsubscribe(self, on_event: Callable[[Event], None]) -> None:
        self._subscriptions.remove(on_event)

    def on_packet_id(self, packet_id: int, on_packet: OnPacket) -> None:
        """Subscribes to packets by their first byte: 160 to 191 are lossless, 200 to 254 lossy.

        Each ID has one owner. Lossy IDs are for rare packets only: those of the packet path do not come here.
        """
        self._subscriptions.add_packet_id(packet_id, on_packet)
        self.tox.accept_packets(packet_id)

    # -- peers ---------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._peers.values()))

    def peer(self, public_key: bytes) -> Peer | None:
        number = self.tox.friend_by_public_key(public_key)
        return None if number is None else self._peers.get(number)

    def reach(self, address: bytes, message: bytes) -> Peer:
        """Asks the owner of that Tox ID (38 bytes) to let us in, and asks again while it is away.

        Raises UsageError when the ID is our own or damaged.
        """
        peer = self.peer(address[:32])
        if peer is not None:  # toxcore sends a request only to a key that is not a friend's
            self._peers.pop(peer.number)
            self.tox.friend_delete(peer.number)
            peer.number = self.tox.friend_add(address, message)
            self._peers[peer.number] = peer
            self._disconnect(peer)
        else:
            peer = self._enter(self.tox.friend_add(address, message))
        self._requests.sent(peer.public_key, address, message, self.now())
        self.turns.note_activity()
        self.turns.fast_clock.start_burst(self.now())
        return peer

    def accept(self, public_key: bytes) -> Peer:
        """Lets that key in; whether it may is the caller's decision."""
        self.turns.note_activity()
        known = self.peer(public_key)
        if known is None and not self._any_online():
            self.turns.expect_peer()
        return known or self._enter(self.tox.friend_add_norequest(public_key))

    def remove(self, peer: Peer) -> None:
        """Ends the friendship. The peer is not notified; packets from it are dropped from now on."""
        self._requests.forget(peer.public_key)
        self._statuses.forget(peer.public_key)
        self._peers.pop(peer.number, None)
        self.tox.friend_delete(peer.number)
        if peer.online:
            self._disconnect(peer)
        self._subscriptions.deliver(PeerRemoved(peer))

    def forget_request(self, public_key: bytes) -> None:
        """Makes toxcore report that key's next request too (seenrequests.py)."""
        if self.peer(public_key) is None:
            with contextlib.suppress(ToxvpnError):  # a key that no friend can have
                self.tox.friend_delete(self.tox.friend_add_norequest(public_key))

    def send_lossless(self, peer: Peer, packet: bytes | bytearray | memoryview) -> SendResult:
        self.turns.note_activity()
        peer.sent_packets += 1
        return self.tox.send_lossless(peer.number, packet)

    def traffic(self, peer: Peer) -> tuple[int, int]:
        """How many packets for people's use went to the peer and came from it, on any road."""
        sent, received = peer.sent_packets, peer.received_packets
        for datapath in self.datapaths:
            counters = datapath.counters(peer.number)
            sent += counters.tx_packets
            received += counters.rx_packets
        return sent, received

    def heard(self, peer: Peer) -> None:
        """The peer has just answered, or asked: what datapaths hold for it may go now."""
        for datapath in self.datapaths:
            datapath.heard(peer.number)

    def set_packet_bytes(self, peer: Peer, packet_bytes: int) -> None:
        """The largest custom packet that the path to the peer carries, in bytes."""
        peer.packet_bytes = packet_bytes
        self._subscriptions.deliver(PeerPacketSize(peer))

    def _enter(self, number: int) -> Peer:
        public_key = self.tox.friend_public_key(number)
        assert public_key is not None
        peer = Peer(number, public_key, changed_s=self.now(), name_of=self._name_of)
        self._peers[number] = peer
        return peer

    def _name_of(self, public_key: bytes) -> str | None:
        return self.name_of(public_key)

    def path_changed(self, peer: Peer) -> None:
        """It is reached on another path, though toxcore calls both by the same name."""
        self._subscriptions.deliver(self._set_connection(peer, peer.connection))

    def called(self, public_key: bytes) -> str:
        """The name that a person here has given it, or the first digits of the key."""
        return self.name_of(public_key) or short_key(public_key)

    def _disconnect(self, peer: Peer) -> None:
        """Delivered at once: toxcore may reuse the friend number, so tables keyed by it change first."""
        self._subscriptions.deliver(self._set_connection(peer, Connection.NONE))

    def _set_connection(self, peer: Peer, connection: Connection) -> PeerConnection:
        before, peer.connection, peer.changed_s = peer.connection, connection, self.now()
        if connection is Connection.NONE:
            peer.status_text = None
        return PeerConnection(peer, before)

    def _any_online(self) -> bool:
        return any(peer.online for peer in self._peers.values())

    # -- what is due from time to time ---------------------------------------------------------

    def _tick(self, now: float) -> None:
        self._watch_answers(now)
        for contact in self._bootstraps.due(now, self.connection):
            self._bootstrap(contact)
        for address, message in self._requests.due(now):
            peer = self.peer(address[:32])
            if peer is not None and not peer.online:
                self.reach(address, message)
        for public_key in self._seen_requests.due(now):
            self.forget_request(public_key)
        for public_key in self._statuses.due(now):
            self._tell_status(public_key)
        for call in self.each_tick:
            call(now)

    def _watch_answers(self, now: float) -> None:
        """toxcore's clock runs fast while somebody answers, not while nobody can."""
        noticed = self._returning.look(self.tox.answers, self.connection, now)
        if noticed is Noticed.SILENCE:
            self.turns.fast_clock.cancel_burst()
        elif noticed is Noticed.ANSWER:
            self.turns.note_activity()
            if self.turns.may_pass_time:
                self.turns.fast_clock.start_burst(now)
            for call in self.after_silence:
                call()

    def _tell_status(self, public_key: bytes) -> None:
        peer = self.peer(public_key)
        if peer is not None and peer.status_text is not None:
            self._subscriptions.deliver(PeerStatus(peer, peer.status_text))

    def bootstrap_now(self) -> None:
        """Asks some nodes for the network, also if we seem to be in it."""
        self.turns.note_activity()
        self._bootstraps.hurry(self.now())

    def _bootstrap(self, contact: Contact) -> None:
        try:
            if contact.port:
                self.tox.bootstrap(contact.host, contact.port, contact.public_key)
            for port in contact.tcp_ports:
                self.tox.add_tcp_relay(contact.host, port, contact.public_key)
                self.relays[contact.host, port] = contact.public_key
        except Exception as failure:
            log.debug("bootstrap node %s cannot be used: %s", contact.host, failure)

    # -- called by the binding during a turn ---------------------------------------------------

    def on_nap(self, slept_s: float) -> None:
        self.turns.note_activity()
        for call in self.after_nap:
            call(slept_s)

    def on_self_connection(self, connection: Connection) -> None:
        log.info("Tox network: %s", connection.path)
        self.turns.note_activity()
        self.connection = connection
        if not self._peers:
            self.turns.fast_clock.cancel_burst()
        self._subscriptions.queue(SelfConnection(connection))

    def on_friend_request(self, public_key: bytes, message: bytes) -> None:
        self._seen_requests.note(public_key, self.now())
        self._subscriptions.queue(FriendRequest(public_key, message))

    def on_friend_name(self, number: int, name: bytes) -> None:
        """Ignored: peers are named by the configuration."""

    def on_friend_status_message(self, number: int, text: bytes) -> None:
        peer = self._peers.get(number)
        if peer is not None:
            peer.status_text = text
            if self._statuses.stated(peer.public_key, self.now()):
                self._subscriptions.queue(PeerStatus(peer, text))

    def on_friend_connection(self, number: int, connection: Connection) -> None:
        peer = self._peers.get(number)
        if peer is None:
            return
        self.turns.note_activity()
        log.info("peer %s: %s", peer.short, connection.path)
        self._subscriptions.queue(self._set_connection(peer, connection))
        if connection is not Connection.NONE:
            self.turns.fast_clock.peer_connected(self.now())
        else:
            self._requests.lost(peer.public_key, self.now())
            if not self._any_online():
                self.turns.fast_clock.start_burst(self.now())

    def on_lossy(self, number: int, packet: bytes) -> None:
        """Packets of the compiled packet path do not come here."""
        peer = self._peers.get(number)
        if peer is not None and not peer.rare_packets.take(self.now()):
            peer.flooded_packets += 1
        elif peer is not None:
            peer.source = self.tox.source
            if peer.source is not None:
                peer.places[":" in peer.source[0]] = peer.source
            self._queue_packet(peer, packet)

    def on_lossless(self, number: int, packet: bytes) -> None:
        peer = self._peers.get(number)
        if peer is not None:
            self.turns.note_activity()
            self._queue_packet(peer, packet)

    def _queue_packet(self, peer: Peer, packet: bytes) -> None:
        peer.received_packets += 1
        self._subscriptions.queue((peer, packet))
