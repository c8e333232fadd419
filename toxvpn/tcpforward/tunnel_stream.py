"""One stream on the tuntox road: bytes between a local end and a tunnel of `FriendTunnels`.

Inbound (out of Tox): Data -> `inbound` -> the local end, reported to `consumed` as it is taken.
Outbound: the local end is read only while the tunnel asks for more. Owner: lossless.py.
"""

import asyncio
import contextlib
import os
from collections import deque
from typing import Protocol

from ..wire.tunnels import FriendTunnels
from .ends import End
from .road import Ending

READ_BYTES = 64 * 1024


class Driver(Protocol):
    """Who owns the friend's tunnels, sends their packets, and is to be told that there may be some."""

    tunnels: FriendTunnels

    def soon(self) -> None: ...
    def now(self) -> float: ...
    def forget(self, handle: int) -> None: ...


class TunnelStream:
    """See `road.Stream`. The event methods are called by the driver, also before `relay`."""

    def __init__(self, driver: Driver, handle: int) -> None:
        self._driver = driver
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._inbound: deque[memoryview] = deque()
        self._inbound_eof = False
        self._closed_by_peer = False
        self._broken = False
        self._local: End | None = None
        self._local_eof = False
        self._finished_local = False
        self._reading: asyncio.Handle | None = None
        self._ended: asyncio.Future[Ending] = self._loop.create_future()

    # -- road.Stream

    async def relay(self, local: End, first: bytes = b"") -> Ending:
        self._local = local
        try:
            if first and not (self._broken or self._closed_by_peer):
                self._driver.tunnels.send(self._handle, first)
                self._driver.soon()
            self._resume_reading()
            self._write()
            if self._broken:
                self._end(Ending.RESET)
            return await self._ended
        finally:
            self.abort()  # cancelled: nothing happens where it has ended already

    def abort(self) -> None:
        if not self._ended.done():
            self._driver.tunnels.reset(self._handle, self._driver.now())
            self._driver.soon()
            self._end(Ending.RESET)

    # -- events of the tunnel

    def on_data(self, data: bytes) -> None:
        self._inbound.append(memoryview(data))
        if len(self._inbound) == 1:
            self._write()

    def on_half_closed(self) -> None:
        self._inbound_eof = True
        self._write()

    def on_closed(self) -> None:
        """The tunnel is gone without a fault; what it brought is still to be handed over."""
        self._inbound_eof = self._closed_by_peer = True
        self._stop_reading()
        self._write()

    def on_reset(self) -> None:
        self._broken = True
        if self._local is not None:
            self._end(Ending.RESET)

    def on_writable(self) -> None:
        self._resume_reading()

    # -- outbound

    def _resume_reading(self) -> None:
        if self._local is None or self._local_eof or self._closed_by_peer or self._broken:
            return
        try:
            self._loop.add_reader(self._local.read_fd, self._read)
        except PermissionError:  # a regular file is always readable, and epoll does not take it
            self._reading = self._loop.call_soon(self._read)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._local is not None:
            self._loop.remove_reader(self._local.read_fd)

    def _read(self) -> None:
        assert self._local is not None
        try:
            data = os.read(self._local.read_fd, READ_BYTES)
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
        elif self._reading is not None:
            self._reading = self._loop.call_soon(self._read)
        self._driver.soon()

    # -- inbound

    def _write(self) -> None:
        """Hands over as much as the local end takes now."""
        local = self._local
        if local is None or self._ended.done():
            return
        try:
            taken = self._write_chunks(local)
            if not self._inbound:
                self._loop.remove_writer(local.write_fd)
                self._after_last(local)
        except OSError:
            self.abort()
            return
        if taken:
            self._driver.tunnels.consumed(self._handle, taken)
            self._driver.soon()

    def _write_chunks(self, local: End) -> int:
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while self._inbound:
                written = os.write(local.write_fd, self._inbound[0])
                taken += written
                if written < len(self._inbound[0]):
                    self._inbound[0] = self._inbound[0][written:]
                else:
                    self._inbound.popleft()
            return taken
        self._loop.add_writer(local.write_fd, self._write)
        return taken

    def _after_last(self, local: End) -> None:
        if self._closed_by_peer:
            self._end(Ending.CLEAN)
        elif self._inbound_eof and not self._finished_local:
            self._finished_local = True
            local.finish()

    # -- the end

    def _end(self, ending: Ending) -> None:
        if self._ended.done():
            return
        self._ended.set_result(ending)
        self._driver.forget(self._handle)
        if self._local is not None:
            self._stop_reading()
            self._loop.remove_writer(self._local.write_fd)
            self._local.close(clean=ending is Ending.CLEAN)
        self._inbound.clear()
