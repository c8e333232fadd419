"""The node: owns the Tox handle, wakes on its sockets, tells its subscribers what happens.

One asyncio loop owns the handle (toxcore is not thread-safe). A turn is one tox_iterate; it
happens when one of toxcore's sockets is readable or when tox_iteration_interval has passed.
Callbacks only note what happened; subscribers hear of it after the turn, in order, and may then
call anything. Enters: packets and times. Leaves: events (events.py), lossless packets by ID.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from .._native.results import Connection, SendResult
from .._native.toxcore import Tox
from ..errors import ToxvpnError
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
from .requests import FriendRequests
from .safecall import SafeCall
from .seenrequests import SeenRequests
from .sockets import SocketWatch
from .timing import FastClock, TurnInterval

log = logging.getLogger("toxvpn.tox")

TICK_S = 0.25
"""How often bootstrapping, repeated requests and the clock's rate are looked at."""

HearPacket = Callable[[Peer, bytes], None]


class Bootstraps(Protocol):
    """Who says which nodes to ask for the network, and when (bootstrap.py)."""

    def due(self, now: float, connection: Connection) -> list[Contact]: ...


class Node:
    """Made by the daemon inside a running loop; `start()` once, `close()` once."""

    def __init__(self, tox: Tox, bootstraps: Bootstraps) -> None:
        self.tox = tox
        self.connection = Connection.NONE
        self.after_turn: list[Callable[[], None]] = []
        self._bootstraps = bootstraps
        self._loop = asyncio.get_running_loop()
        self._watch = SocketWatch(tox, self._loop, self._woken)
        self._fast_clock = FastClock()
        self._rate = 1.0
        self._turn_interval = TurnInterval()
        self._requests = FriendRequests()
        self._seen_requests = SeenRequests()
        self._peers: dict[int, Peer] = {}
        self._subscribers: list[Callable[[Event], None]] = []
        self._custom: dict[int, HearPacket] = {}
        self._inbox: deque[Event | tuple[Peer, bytes]] = deque()
        self._guarded = SafeCall()  # one subscriber's bug is not the others' trouble
        self._dispatching = False
        self._deaf_until_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = False
        self._turned_s = 0.0
        self._ticked_s = float("-inf")
        self.closed = False
        tox.handler = self
        for number in tox.friend_list():
            self._know(number)

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        self._started = True
        self._stir()
        self._fast_clock.start_burst(self.now())
        self.turn()

    def close(self) -> None:
        """Leaves the network. Idempotent."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._watch.close()
        self.tox.handler = None
        self.tox.close()

    def now(self) -> float:
        return self._loop.time()

    def is_alive(self, within_s: float) -> bool:
        """Whether it took a turn so lately; a node that has not started or has ended need not."""
        return self.closed or not self._started or self.now() - self._turned_s <= within_s

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
        if peer is not None:  # toxcore sends a request only to whom it does not know
            self._peers.pop(peer.number)
            self.tox.friend_delete(peer.number)
            peer.number = self.tox.friend_add(address, message)
            self._peers[peer.number] = peer
            self._tell(self._changed(peer, Connection.NONE))
        else:
            peer = self._know(self.tox.friend_add(address, message))
        self._requests.sent(peer.public_key, address, message, self.now())
        self._stir()
        self._fast_clock.start_burst(self.now())
        return peer

    def accept(self, public_key: bytes) -> Peer:
        """Lets that key in; the grant itself is the caller's decision."""
        self._stir()
        known = self.peer(public_key)
        if known is None and not any(peer.online for peer in self):
            self._fast_clock.expect_peer(self.now())
            self._run_clock(self.now())
        return known or self._know(self.tox.friend_add_norequest(public_key))

    def remove(self, peer: Peer) -> None:
        """Ends the friendship: the peer is told nothing, its packets reach nobody any more."""
        self._requests.forget(peer.public_key)
        self._peers.pop(peer.number, None)
        self.tox.friend_delete(peer.number)
        if peer.online:
            self._tell(self._changed(peer, Connection.NONE))
        self._tell(PeerRemoved(peer))

    def hear_again(self, public_key: bytes) -> None:
        """Makes toxcore tell of that key's next request too (seenrequests.py)."""
        if self.peer(public_key) is None:
            with contextlib.suppress(ToxvpnError):  # a stranger's key may be none that a friend can have
                self.tox.friend_delete(self.tox.friend_add_norequest(public_key))

    def send_lossless(self, peer: Peer, packet: bytes | bytearray | memoryview) -> SendResult:
        self._stir()
        return self.tox.send_lossless(peer.number, packet)

    def resize(self, peer: Peer, packet_bytes: int) -> None:
        """The path to the peer carries custom packets of so many bytes, and no larger ones."""
        peer.packet_bytes = packet_bytes
        self._tell(PeerPacketSize(peer))

    def let_pass(self, step_s: float) -> None:
        """With the next turn toxcore sees so much time pass, and none until it has really passed (timing.py).

        Where toxcore's clock is not ours, no turn is taken for what comes in until then.
        """
        if not self.closed and not self.tox.step_clock(step_s):
            self._deaf_until_s = self.now() + step_s
            self._watch.forget()
            self._arm(step_s)

    def ask_for_room(self) -> None:
        """What waits for room in toxcore's UDP socket is sent when there is some."""
        if self.tox.wants_room:
            self._watch.when_writable(self._use_room)
            self.tox.room_asked = True

    def _use_room(self) -> None:
        """Without a turn, for which it may be too early."""
        self.tox.room_asked = False
        self.tox.flush()
        self.ask_for_room()

    # -- who hears what ------------------------------------------------------------------------

    def subscribe(self, hear: Callable[[Event], None]) -> None:
        self._subscribers.append(hear)

    def unsubscribe(self, hear: Callable[[Event], None]) -> None:
        self._subscribers.remove(hear)

    def on_lossless_id(self, packet_id: int, hear: HearPacket) -> None:
        """One owner per packet ID (160 to 191)."""
        self._hear(packet_id, hear)

    def on_lossy_id(self, packet_id: int, hear: HearPacket) -> None:
        """One owner per packet ID (200 to 254); for rare packets, the others are the packet path's."""
        self._hear(packet_id, hear)

    def _hear(self, packet_id: int, hear: HearPacket) -> None:
        self._custom[packet_id] = hear
        self.tox.accept_packets(packet_id)

    # -- turns ---------------------------------------------------------------------------------

    def turn(self) -> None:
        """One iteration of toxcore and all that follows from it."""
        self._turn(self.tox.iterate)

    def _woken(self) -> None:
        self._turn(self._watch.turn)

    def _turn(self, iterate: Callable[[], None]) -> None:
        if self.closed:
            return
        self._guarded(iterate)
        self._turned_s = self.now()
        if self._deaf_until_s is not None and self._turned_s >= self._deaf_until_s:
            self._deaf_until_s = None
        for call in list(self.after_turn):
            self._guarded(call)
        self._dispatch()
        if not self.closed:
            self._prepare_next()

    def _prepare_next(self) -> None:
        """Whatever fails here or before, there is a next turn."""
        if self._turned_s - self._ticked_s >= TICK_S:
            self._guarded(self._tick, self._turned_s)
        if self.tox.receive_pending:
            self._loop.call_soon(self.turn)
        self._guarded(self.ask_for_room)
        if self._deaf_until_s is None:
            self._guarded(self._watch.refresh)
        if self._timer is None:
            self._arm(self._interval_s())

    def _interval_s(self) -> float:
        wanted_s = self.tox.iteration_interval_ms() / 1000 / self._rate
        # while it hurries, and where nothing wakes us for a relay's packets, turns must not be late
        if self._rate > 1 or not self._watch.exact:
            return wanted_s
        return self._turn_interval.interval_s(wanted_s, self.now())

    def _stir(self) -> None:
        if (
            self._turn_interval.note_activity(self.now())
            and self._timer is not None
            and self._deaf_until_s is None
        ):
            self._arm(self._interval_s())

    def _arm(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, self._timed)

    def _timed(self) -> None:
        # socket turns leave the timer alone; it finds out here that one was lately enough
        self._timer = None
        remaining_s = self._turned_s + self._interval_s() - self.now()
        if remaining_s > 0.001 and self._deaf_until_s is None:
            self._arm(remaining_s)
        else:
            self.turn()

    def _tick(self, now: float) -> None:
        self._ticked_s = now
        for contact in self._bootstraps.due(now, self.connection):
            self._contact(contact)
        for address, message in self._requests.due(now):
            peer = self.peer(address[:32])
            if peer is not None and not peer.online:
                self.reach(address, message)
        for public_key in self._seen_requests.due(now):
            self.hear_again(public_key)
        self._run_clock(now)

    def _run_clock(self, now: float) -> None:
        rate = self._fast_clock.rate(now)
        if rate != self._rate:
            self._rate = rate
            self.tox.set_clock_rate(rate)

    def _contact(self, contact: Contact) -> None:
        try:
            if contact.port:
                self.tox.bootstrap(contact.host, contact.port, contact.public_key)
            for port in contact.tcp_ports:
                self.tox.add_tcp_relay(contact.host, port, contact.public_key)
        except Exception as failure:
            log.debug("bootstrap node %s is of no use: %s", contact.host, failure)

    def _dispatch(self) -> None:
        if self._dispatching:
            return
        self._dispatching = True
        try:
            while self._inbox:
                self._deliver(self._inbox.popleft())
        finally:
            self._dispatching = False

    def _deliver(self, item: Event | tuple[Peer, bytes]) -> None:
        if isinstance(item, tuple):
            self._guarded(self._custom[item[1][0]], *item)
        else:
            self._tell(item)

    def _tell(self, event: Event) -> None:
        """At once where friend numbers change hands: who files by number must not be late."""
        for hear in list(self._subscribers):
            self._guarded(hear, event)

    def _know(self, number: int) -> Peer:
        public_key = self.tox.friend_public_key(number)
        assert public_key is not None
        peer = Peer(number, public_key, changed_s=self.now())
        self._peers[number] = peer
        return peer

    def _changed(self, peer: Peer, connection: Connection) -> PeerConnection:
        before, peer.connection, peer.changed_s = peer.connection, connection, self.now()
        if connection is Connection.NONE:
            peer.status_text = None
        return PeerConnection(peer, before)

    # -- called by the binding during a turn ---------------------------------------------------

    def on_self_connection(self, connection: Connection) -> None:
        log.info("Tox network: %s", connection.path)
        self._stir()
        self.connection = connection
        if not self._peers:
            self._fast_clock.cancel_burst()
        self._inbox.append(SelfConnection(connection))

    def on_friend_request(self, public_key: bytes, message: bytes) -> None:
        self._seen_requests.note(public_key, self.now())
        self._inbox.append(FriendRequest(public_key, message))

    def on_friend_name(self, number: int, name: bytes) -> None:
        """Names are the configuration's business, not the peer's."""

    def on_friend_status_message(self, number: int, text: bytes) -> None:
        peer = self._peers.get(number)
        if peer is not None:
            peer.status_text = text
            self._inbox.append(PeerStatus(peer, text))

    def on_friend_connection(self, number: int, connection: Connection) -> None:
        peer = self._peers.get(number)
        if peer is None:
            return
        self._stir()
        log.info("peer %s: %s", peer.short, connection.path)
        self._inbox.append(self._changed(peer, connection))
        if connection is not Connection.NONE:
            self._fast_clock.peer_connected(self.now())
        else:
            self._requests.lost(peer.public_key, self.now())
            if not any(other.online for other in self._peers.values()):
                self._fast_clock.start_burst(self.now())

    def on_lossy(self, number: int, packet: bytes) -> None:
        """Those of the compiled packet path do not come here."""
        self._file(number, packet)

    def on_lossless(self, number: int, packet: bytes) -> None:
        self._stir()
        self._file(number, packet)

    def _file(self, number: int, packet: bytes) -> None:
        peer = self._peers.get(number)
        if peer is not None:
            self._inbox.append((peer, packet))
