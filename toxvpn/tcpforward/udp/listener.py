"""The side of a UDP forward that has the local programs: an association for each of them, by its address.

In: bound sockets, and where their datagrams are to go. Out: datagrams through a peer, and its answers, each
to the program that it is for. Programs do not say when they have finished: an association ends by being idle.
Neighbours: asker.py asks the peer, server.py is the other side.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter, deque
from typing import Any

from ..._native.net.datagrams import Gatherer
from ...errors import ToxvpnError
from ...wire.associations import LAST_NUMBER
from ...wire.socks5 import ReplyCode
from ..bind import bind
from ..budget import DESCRIPTORS
from ..caller import Caller
from ..road import refused
from ..spec import Listen, Target
from .asker import Asker
from .batches import Batch, batches, count, send, take_batches, tell_destination
from .flows import UDP_IDLE_S, FlowTable, Traffic
from .room import ROOMY, make_room, overflowed

log = logging.getLogger("toxvpn.tcpforward")

MAX_ASSOCIATIONS = 512
"""Of one forward, at once; then the one makes room that would have ended first."""
DESCRIPTORS_OF_ONE = 1
EXPIRY_S = 5.0
REFUSED_S = 2.0
"""A program whose datagrams were refused is not asked for again for so long, whatever it sends."""
HELD_DATAGRAMS, HELD_BYTES = 32, 128 * 1024
"""What waits for an association; the oldest is the first to be dropped."""

_Key = tuple[socket.socket, tuple[Any, ...], tuple[tuple[int, int, bytes], ...]]
"""Our socket, the program's address, and the address that it has sent to."""


class _Sender:
    """A local program, and the association that carries its datagrams. `near` is None until there is one."""

    __slots__ = ("far", "held", "key", "near", "number", "opening", "traffic")

    def __init__(self, key: _Key, number: int) -> None:
        self.key = key
        self.number = number
        self.near: socket.socket | None = None
        self.far: tuple[str, int] | None = None
        self.held: deque[tuple[bytes, int]] = deque()
        self.opening: asyncio.Task[None] | None = None
        self.traffic = Traffic()

    @property
    def is_refused(self) -> bool:
        return self.near is None and self.opening is None

    def hold(self, batch: Batch) -> int:
        """Returns how many datagrams were dropped to make room."""
        self.held.append((bytes(batch.data), batch.segment_bytes))
        dropped = 0
        while len(self.held) > HELD_DATAGRAMS or (
            len(self.held) > 1 and sum(len(data) for data, _ in self.held) > HELD_BYTES
        ):
            dropped += count(*self.held.popleft())
        return dropped

    def hold_no_more(self) -> int:
        """Returns how many datagrams were dropped."""
        dropped = sum(count(*each) for each in self.held)
        self.held.clear()
        return dropped


class DatagramListener:
    """Bound on construction, so that a port in use is reported early; bound sockets are taken over.

    Raises ToxvpnError (in use, no such address), NoPermissionError. `aim` must be called before `start`.
    `dropped` counts datagrams, by reason.
    """

    def __init__(self, listen: Listen | list[socket.socket]) -> None:
        self._listen = listen if isinstance(listen, Listen) else None
        self.sockets = bind(listen) if isinstance(listen, Listen) else listen
        self.dropped: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._gatherer = Gatherer()
        self._table: FlowTable[_Key, _Sender] = FlowTable(MAX_ASSOCIATIONS)
        self._by_number: dict[int, _Sender] = {}
        self._last_number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._aim: tuple[Caller, Target] | None = None
        self._asker: Asker | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._started = False
        self._set_up()

    def aim(self, caller: Caller, target: Target) -> None:
        """Where datagrams go from now on. When that changes, the associations with the former target end."""
        if self._aim == (caller, target):
            return
        self._drop_all()
        self._aim = caller, target
        self._asker = Asker(caller, self._on_end)
        if self._started:
            self._prepare()

    def start(self) -> None:
        self._started = True
        for bound in self.sockets:
            self._loop.add_reader(bound, self._on_local, bound)
        self._prepare()

    @property
    def connections(self) -> int:
        """The number of associations that there are now."""
        return len(self._table)

    @property
    def drops(self) -> Counter[str]:
        """Datagrams that were lost here, by reason; those too that the kernel had no room for."""
        near = [sender.near for sender in self._table.values() if sender.near is not None]
        return self.dropped + Counter(no_room=sum(map(overflowed, [*self.sockets, *near])))

    def suspend(self) -> None:
        """Lets another socket have an address that overlaps with ours."""
        self._close_sockets()

    def resume(self) -> None:
        """Raises ToxvpnError if somebody has taken the port meanwhile."""
        if self._listen is not None:
            self.sockets += bind(self._listen)
            self._set_up()
            if self._started:
                self.start()

    def stop_listening(self) -> None:
        """Ends everything: without the sockets, answers could not be brought to anybody. Idempotent."""
        self._close_sockets()
        self._drop_all()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        """Idempotent."""
        self.stop_listening()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # -- sockets and control stream

    def _set_up(self) -> None:
        for bound in self.sockets:
            take_batches(bound)
            if bound.getsockname()[0] in ("0.0.0.0", "::"):
                tell_destination(bound)

    def _close_sockets(self) -> None:
        while self.sockets:
            bound = self.sockets.pop()
            self._close_socket(bound)
        for sender in list(self._table.values()):  # they answer from these sockets
            self._end(sender)

    def _close_socket(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)
        self.dropped["no_room"] += overflowed(sock)
        sock.close()

    def _drop_all(self) -> None:
        for sender in list(self._table.values()):
            self._end(sender)
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None
        if self._asker is not None:
            task = asyncio.create_task(self._asker.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            self._asker = None

    def _prepare(self) -> None:
        if self._asker is not None and self._preparing is None:
            self._preparing = asyncio.create_task(self._open_control(self._asker))

    async def _open_control(self, asker: Asker) -> None:
        try:
            await asker.prepare()
        except ToxvpnError as failure:
            self._tell(failure)

    def _tell(self, failure: ToxvpnError) -> None:
        if self._aim is not None:
            caller, target = self._aim
            caller.log_limit.log(log, logging.WARNING, "udp/%s: %s", target, failure)

    # -- datagrams

    def _on_local(self, bound: socket.socket) -> None:
        with contextlib.suppress(ConnectionRefusedError):  # a program that has sent to us is gone
            for batch in batches(bound, self._gatherer):
                key = bound, batch.source, batch.to_us
                sender = self._table.get(key) or self._begin(key)
                if sender is None or sender.is_refused:
                    self.dropped["no_association"] += batch.datagrams
                    continue
                sender.traffic.there += batch.datagrams
                self._table.use(key, self._loop.time(), sender.traffic.idle_s)
                if sender.near is None:
                    self.dropped["waited_too_long"] += sender.hold(batch)
                elif not self._pass(sender.near, batch.data, batch.segment_bytes):
                    self._end(sender)
                    if (again := self._begin(key)) is not None:
                        again.hold(batch)

    def _on_answer(self, sender: _Sender) -> None:
        bound, program, to_us = sender.key
        near = sender.near
        assert near is not None
        try:
            for batch in batches(near, self._gatherer):
                if batch.source[:2] != sender.far:  # it came before we were connected
                    self.dropped["stranger"] += batch.datagrams
                    continue
                sender.traffic.back += batch.datagrams
                self._table.use(sender.key, self._loop.time(), sender.traffic.idle_s)
                try:
                    send(bound, batch.data, batch.segment_bytes, to_us, program)
                except OSError:
                    self.dropped["program_full"] += batch.datagrams
        except ConnectionRefusedError:
            self._end(sender)

    def _pass(self, near: socket.socket, data: bytes | memoryview, segment_bytes: int) -> bool:
        """False when the peer's stack has no such association: it has ended it, or has started anew."""
        try:
            send(near, memoryview(data), segment_bytes)
        except ConnectionRefusedError:
            return False
        except OSError:
            self.dropped["network_full"] += count(data, segment_bytes)
        return True

    # -- associations

    def _begin(self, key: _Key) -> _Sender | None:
        if self._asker is None or self._aim is None or not DESCRIPTORS.take(DESCRIPTORS_OF_ONE):
            return None
        self._last_number = self._last_number % LAST_NUMBER + 1
        sender = _Sender(key, self._last_number)
        gone = self._table.add(key, None, sender, UDP_IDLE_S, self._loop.time())
        if gone is not None:
            self._close(gone)
        self._by_number[sender.number] = sender
        sender.opening = asyncio.create_task(self._open(sender, self._asker, *self._aim))
        if self._timer is None:
            self._timer = self._loop.call_later(EXPIRY_S, self._expire)
        return sender

    async def _open(self, sender: _Sender, asker: Asker, caller: Caller, target: Target) -> None:
        try:
            near = await asker.open(sender.number, target)
        except ToxvpnError as failure:
            self._tell(failure)
            self._refuse(sender)
            return
        finally:
            sender.opening = None
        take_batches(near)
        if len(self._table) <= ROOMY:
            make_room(near)
        sender.near = near
        sender.far = near.getpeername()[:2]
        self._loop.add_reader(near, self._on_answer, sender)
        while sender.held:
            self._pass(near, *sender.held.popleft())

    def _refuse(self, sender: _Sender) -> None:
        """Leaves it in the table for a moment, without an association."""
        if sender.near is not None:
            self._close_socket(sender.near)
            sender.near = None
        self.dropped["no_association"] += sender.hold_no_more()
        self._table.use(sender.key, self._loop.time(), REFUSED_S)
        self._loop.call_later(REFUSED_S, self._end_refused, sender)

    def _end_refused(self, sender: _Sender) -> None:
        if self._table.get(sender.key) is sender and sender.is_refused:
            self._end(sender)

    def _on_end(self, number: int, code: ReplyCode | None) -> None:
        """The peer has ended the association."""
        sender = self._by_number.get(number)
        if sender is None:
            return
        if code in (None, ReplyCode.SUCCEEDED):  # the next datagram asks for another one
            self._end(sender)
        else:
            self._tell(refused(code))
            self._refuse(sender)

    def _expire(self) -> None:
        for sender in self._table.expire(self._loop.time()):
            self._close(sender)
        self._timer = self._loop.call_later(EXPIRY_S, self._expire) if len(self._table) else None

    def _end(self, sender: _Sender) -> None:
        if self._table.remove(sender.key) is not None:
            self._close(sender)

    def _close(self, sender: _Sender) -> None:
        del self._by_number[sender.number]
        if sender.opening is not None:
            sender.opening.cancel()
        if sender.near is not None:
            self._close_socket(sender.near)
        self.dropped["no_association"] += sender.hold_no_more()
        if self._asker is not None:
            self._asker.end(sender.number)
        DESCRIPTORS.give(DESCRIPTORS_OF_ONE)
