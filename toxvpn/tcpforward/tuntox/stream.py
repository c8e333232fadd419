"""One stream on the tuntox road: bytes between a local end and a tunnel of `FriendTunnels`.

Inbound (out of Tox): Data -> `_inbound` -> the local end, reported to `consumed` as it is taken.
Outbound: the local end is read only while the tunnel asks for more. Made by link.py.
"""

import asyncio
import functools
import os
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ...wire.tuntox.friend import FriendTunnels
from ..ends import End
from ..granted import GrantedEnd
from ..road import Ending

READ_BYTES = 64 * 1024


@functools.cache
def _buffer() -> memoryview:
    return memoryview(bytearray(READ_BYTES))


class Driver(Protocol):
    """The part of `TunnelDriver` that a stream uses."""

    tunnels: FriendTunnels

    def send_soon(self) -> None: ...
    def now(self) -> float: ...


class TunnelStream:
    """See `road.Stream`. The event methods are called by the link, also before `relay`.

    `on_end` is called with the handle when the stream has ended.
    """

    def __init__(self, driver: Driver, handle: int, on_end: Callable[[int], None]) -> None:
        self._driver = driver
        self._handle = handle
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._local: End | None = None
        self._local_eof = False
        self._next_read: asyncio.Handle | None = None
        self._inbound: deque[memoryview] = deque()
        self._inbound_eof = False
        self._finished_local = False
        self._waits_to_write = False
        self._tunnel_over: Ending | None = None
        self._ending: Ending | None = None
        self._ended = asyncio.Event()

    # -- road.Stream

    async def relay(self, local: End, first: bytes = b"") -> Ending:
        self._local = local
        if isinstance(local, GrantedEnd):
            local.stoppable(self.abort)
        try:
            if self._tunnel_over is None:
                if first:
                    self._driver.tunnels.send(self._handle, first)
                    self._driver.send_soon()
                self._resume_reading()
            self._write()
            if self._tunnel_over is Ending.RESET:
                self._end(Ending.RESET)
            await self._ended.wait()
        finally:
            self.abort()  # cancelled: nothing happens where it has ended already
        assert self._ending is not None
        return self._ending

    def abort(self) -> None:
        if self._ending is None:
            self._driver.tunnels.reset(self._handle, self._driver.now())
            self._driver.send_soon()
            self._end(Ending.RESET)

    # -- events of the tunnel

    def on_data(self, data: bytes) -> None:
        self._inbound.append(memoryview(data))
        if not self._waits_to_write:
            self._write()

    def on_half_closed(self) -> None:
        self._inbound_eof = True
        self._write()

    def on_closed(self) -> None:
        """The tunnel is gone without a fault; what it brought is still to be handed over."""
        self._tunnel_over = Ending.CLEAN
        self._stop_reading()
        self._write()

    def on_reset(self) -> None:
        self._tunnel_over = Ending.RESET
        if self._local is not None:
            self._end(Ending.RESET)

    def on_writable(self) -> None:
        self._resume_reading()

    # -- outbound

    def _resume_reading(self) -> None:
        if self._local is None or self._local_eof or self._tunnel_over is not None:
            return
        try:
            self._loop.add_reader(self._local.wake_fd, self._read)
        except PermissionError:  # a regular file is always readable, and epoll does not take it
            self._next_read = self._loop.call_soon(self._read)

    def _stop_reading(self) -> None:
        if self._next_read is not None:
            self._next_read.cancel()
            self._next_read = None
        if self._local is not None:
            self._loop.remove_reader(self._local.wake_fd)

    def _read(self) -> None:
        assert self._local is not None
        try:
            buffer = _buffer()
            data = bytes(buffer[: self._local.read_into(buffer)])
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        tunnels = self._driver.tunnels
        if not data:
            self._local_eof = True
            self._stop_reading()
            tunnels.send_eof(self._handle, self._driver.now())
        elif not tunnels.send(self._handle, data):
            self._stop_reading()
        elif self._next_read is not None:
            self._next_read = self._loop.call_soon(self._read)
        self._driver.send_soon()

    # -- inbound

    def _write(self) -> None:
        """Hands over as much as the local end takes now."""
        local = self._local
        if local is None or self._ending is not None:
            return
        try:
            taken = self._write_chunks(local)
            self._wait_to_write(local, bool(self._inbound))
            if not self._inbound:
                self._after_last(local)
        except OSError:
            self.abort()
            return
        if taken:
            self._driver.tunnels.consumed(self._handle, taken)
            self._driver.send_soon()

    def _write_chunks(self, local: End) -> int:
        """Returns the number of bytes that were taken."""
        taken = 0
        while self._inbound:
            chunk = self._inbound[0]
            try:
                written = os.write(local.write_fd, chunk)
            except BlockingIOError:
                break
            taken += written
            if written < len(chunk):
                self._inbound[0] = chunk[written:]
            else:
                self._inbound.popleft()
        return taken

    def _wait_to_write(self, local: End, waits: bool) -> None:
        if waits and not self._waits_to_write:
            self._loop.add_writer(local.write_fd, self._write)
        elif self._waits_to_write and not waits:
            self._loop.remove_writer(local.write_fd)
        self._waits_to_write = waits

    def _after_last(self, local: End) -> None:
        if self._tunnel_over is Ending.CLEAN:
            self._end(Ending.CLEAN)
        elif self._inbound_eof and not self._finished_local:
            self._finished_local = True
            local.finish()

    # -- the end

    def _end(self, ending: Ending) -> None:
        if self._ending is not None:
            return
        self._ending = ending
        self._ended.set()
        self._on_end(self._handle)
        self._inbound.clear()
        if self._local is not None:
            self._stop_reading()
            self._wait_to_write(self._local, False)
            self._local.close(clean=ending is Ending.CLEAN)
