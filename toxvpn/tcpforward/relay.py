"""Moves bytes between two ends, both ways, thousands of pairs in one event loop.

In: two `End`s (`ends.py`), which it owns from then on. Out: how it ended, and how many bytes.
EOF of one end becomes `finish` of the other, and the other direction goes on. An error of one end,
or cancelling, resets both: never an orderly end after missing bytes.

All descriptors are in one edge-triggered epoll of ours, which the event loop watches as a single
descriptor. So waiting costs no system call, and a reset is noticed also on an end that nobody
happens to read.

Bytes are read into one buffer shared by all pairs and written from there; only what an end does not
take at once is kept, at most MAX_CHUNK_BYTES a direction. splice(2) through a pipe was measured
against it (bench/relay.py): the same throughput, latency and, within 15 %, processor time; at the
price of a pipe for every direction that is blocked, a second engine for what cannot be spliced, and
the limit on pipe pages (fs.pipe-user-pages-soft). Not worth it.
"""

import asyncio
import contextlib
import errno
import os
import select
from collections import deque
from dataclasses import dataclass
from functools import cached_property

from .ends import End
from .granted import GrantedEnd
from .road import Ending

MIN_CHUNK_BYTES = 16 * 1024
FIRST_CHUNK_BYTES = 64 * 1024
MAX_CHUNK_BYTES = 256 * 1024
TURN_BYTES = 1024 * 1024  # read in one turn of the event loop, about 0.3 ms
TURN_STEPS = 64
MAX_EVENTS = 256

_WATCHED = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_LAST = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_TO_READ = select.EPOLLIN | _LAST
_TO_WRITE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR


@dataclass(frozen=True, slots=True)
class RelayResult:
    """`reason` is empty when CLEAN. Bytes are those handed over to the other end's kernel."""

    ending: Ending
    reason: str
    a_to_b_bytes: int
    b_to_a_bytes: int


class _Pump:
    """One direction of a pair."""

    __slots__ = (
        "chunk_bytes", "done", "held", "moved_bytes", "pair", "queued", "readable", "short_read_is_all",
        "sink", "source", "writable",
    )  # fmt: skip

    def __init__(self, pair: "_Pair", source: End, sink: End) -> None:
        self.pair = pair
        self.source = source
        self.sink = sink
        self.held = b""  # read, but not yet taken by the sink
        self.chunk_bytes = FIRST_CHUNK_BYTES
        self.moved_bytes = 0
        self.readable = self.writable = True  # until EAGAIN says otherwise
        self.done = False
        self.queued = False
        self.short_read_is_all = source.short_read_is_all

    @property
    def runnable(self) -> bool:
        return not self.done and (self.writable if self.held else self.readable)

    def step(self, buffer: memoryview) -> int:
        """At most one read and one write; the number of bytes read. Raises OSError."""
        if self.held:
            self._write(self.held)
            return 0
        try:
            count = self.source.read_into(buffer[: self.chunk_bytes])
        except BlockingIOError:
            self.readable = False
            return 0
        if count == 0:
            self.done = True
            return 0
        if count < self.chunk_bytes and self.short_read_is_all:
            self.readable = False
        self._write(buffer[:count])
        if count == self.chunk_bytes and not self.held:
            self.chunk_bytes = min(2 * count, MAX_CHUNK_BYTES)
        return count

    def _write(self, data: bytes | memoryview) -> None:
        try:
            sent = os.write(self.sink.write_fd, data)
        except BlockingIOError:
            sent = 0
            self.writable = False
            self.chunk_bytes = max(self.chunk_bytes // 2, MIN_CHUNK_BYTES)
        self.moved_bytes += sent
        self.held = bytes(data[sent:])


class _Pair:
    __slots__ = ("a", "a_to_b", "b", "b_to_a", "ended", "owner", "result")

    def __init__(
        self, a: End, b: End, from_a: bytes, from_b: bytes, owner: object, result: asyncio.Future[RelayResult]
    ) -> None:
        self.a, self.b = a, b
        self.owner = owner
        self.a_to_b = _Pump(self, a, b)
        self.b_to_a = _Pump(self, b, a)
        self.a_to_b.held, self.b_to_a.held = from_a, from_b
        self.result = result
        self.ended = False


class Relay:
    """One for all pairs of an event loop; made inside it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._readers: dict[int, _Pump] = {}
        self._writers: dict[int, _Pump] = {}
        self._ready: deque[_Pump] = deque()
        self._next_turn: asyncio.Handle | None = None
        self._loop.add_reader(self._epoll.fileno(), self._on_events)

    @cached_property
    def _buffer(self) -> memoryview:
        return memoryview(bytearray(MAX_CHUNK_BYTES))

    def join(
        self, a: End, b: End, from_a: bytes = b"", from_b: bytes = b"", owner: object = None
    ) -> asyncio.Future[RelayResult]:
        """Starts at once, and takes both ends over; cancelling the future resets both. Raises OSError.

        `from_a` and `from_b` are bytes that have been read from them already. `owner`: see `reset`.
        """
        result: asyncio.Future[RelayResult] = self._loop.create_future()
        pair = _Pair(a, b, from_a, from_b, owner, result)
        try:
            for pump in (pair.a_to_b, pair.b_to_a):
                self._readers[pump.source.read_fd] = pump
                self._writers[pump.sink.write_fd] = pump
            for fd in _descriptors(pair):
                with contextlib.suppress(PermissionError):  # a file, or /dev/null: ready at any time
                    self._epoll.register(fd, _WATCHED)
        except OSError:
            self._end(pair, "cannot be watched")
            raise
        result.add_done_callback(lambda _: self._end(pair, "cancelled"))
        self._queue(pair.a_to_b)
        self._queue(pair.b_to_a)
        self._plan_turn()
        for end in (a, b):
            if isinstance(end, GrantedEnd):
                end.stoppable(lambda: self._end(pair, "not allowed any more"))
        return result

    def descriptors(self, owner: object) -> set[int]:
        """Those of the pairs that were joined for that owner."""
        found = {pump.pair for pump in self._readers.values() if pump.pair.owner is owner}
        return {fd for pair in found for fd in _descriptors(pair)}

    def reset(self, owner: object, reason: str) -> int:
        """Resets the pairs that were joined for that owner; returns how many."""
        found = {pump.pair for pump in self._readers.values() if pump.pair.owner is owner}
        for pair in found:
            self._end(pair, reason)
        return len(found)

    def close(self) -> None:
        """Resets what still runs. Idempotent."""
        if self._epoll.closed:
            return
        for pump in list(self._readers.values()):
            self._end(pump.pair, "the relay is closed")
        if self._next_turn:
            self._next_turn.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _on_events(self) -> None:
        for fd, events in self._epoll.poll(0, MAX_EVENTS):
            reader, writer = self._readers.get(fd), self._writers.get(fd)
            if reader and events & _TO_READ:
                reader.readable = True
                if events & _LAST:  # nothing will wake us once more for what is still to be read
                    reader.short_read_is_all = False
                self._queue(reader)
            if writer and events & _TO_WRITE:
                writer.writable = True
                self._queue(writer)
            if events & select.EPOLLERR:
                self._on_error(reader, writer)
        if self._next_turn is None:  # else one of this round of the loop has run already, or will
            self._turn()

    def _on_error(self, reader: _Pump | None, writer: _Pump | None) -> None:
        """Reading gives what came before the error, then the error; where nobody reads, it ends here."""
        if reader and not reader.done and not reader.held:
            return
        pump = reader or writer
        if pump:
            self._end(pump.pair, os.strerror(errno.ECONNRESET if reader else errno.EPIPE))

    def _turn(self) -> None:
        """A bounded number of steps, the pumps in turn; what is left goes on after the loop's other work."""
        bytes_left = TURN_BYTES
        try:
            for _ in range(TURN_STEPS):
                if not self._ready or bytes_left <= 0:
                    break
                pump = self._ready.popleft()
                pump.queued = False
                if pump.runnable and not pump.pair.ended:
                    bytes_left -= self._step(pump)
        finally:  # whatever one pump raises, the others go on
            self._plan_turn()

    def _plan_turn(self) -> None:
        if self._ready and self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._planned_turn)

    def _planned_turn(self) -> None:
        self._next_turn = None
        self._turn()

    def _step(self, pump: _Pump) -> int:
        try:
            count = pump.step(self._buffer)
            if pump.done:
                self._finish(pump)
        except OSError as error:
            self._end(pump.pair, error.strerror or str(error))
            return 0
        self._queue(pump)
        return count

    def _finish(self, pump: _Pump) -> None:
        sink = pump.sink
        if sink.write_fd != sink.read_fd:
            self._forget(sink.write_fd)
        sink.finish()
        if pump.pair.a_to_b.done and pump.pair.b_to_a.done:
            self._end(pump.pair, "")

    def _queue(self, pump: _Pump) -> None:
        if pump.runnable and not pump.queued:
            pump.queued = True
            self._ready.append(pump)

    def _end(self, pair: _Pair, reason: str) -> None:
        """Ends the pair, once; an empty `reason` means a clean end."""
        if pair.ended:
            return
        pair.ended = True
        for fd in _descriptors(pair):
            self._forget(fd)
        pair.a.close(clean=not reason)
        pair.b.close(clean=not reason)
        if not pair.result.done():
            ending = Ending.RESET if reason else Ending.CLEAN
            moved = pair.a_to_b.moved_bytes, pair.b_to_a.moved_bytes
            pair.result.set_result(RelayResult(ending, reason, *moved))

    def _forget(self, fd: int) -> None:
        """Called before the descriptor is closed: its number may be used again at once."""
        self._readers.pop(fd, None)
        self._writers.pop(fd, None)
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)


def _descriptors(pair: _Pair) -> set[int]:
    """The descriptors that are open: -1 stands for one that `finish` has closed."""
    return {fd for end in (pair.a, pair.b) for fd in (end.read_fd, end.write_fd) if fd >= 0}
