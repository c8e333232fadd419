"""Measures streams through a forward: round trips, opening, fetches, a thousand at once, stalled readers.

At the other end is giver.py. Everything has a limit in seconds, however slow the road is.
"""

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass

from lab import Host

from .harness import LOCALHOST

MB = 1_000_000
ECHO = (0).to_bytes(8)
STREAM_BYTES = 10_000
RECEIVE_BYTES = 1 << 20
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Fetched:
    """The progress of a fetch, from connect to the last byte or the limit."""

    wanted_bytes: int
    bytes: int
    seconds: float

    @property
    def complete(self) -> bool:
        return self.bytes == self.wanted_bytes

    @property
    def s_per_mb(self) -> float:
        return self.seconds / self.bytes * 1e6 if self.bytes else float("inf")


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many streams at once: how many were answered, and how long that took; then STREAM_BYTES for each."""

    streams: int
    answered: int
    answered_s: float
    served: int
    served_s: float


class Caller:
    """Connects on `host` to the forward that listens on `port` there."""

    def __init__(self, host: Host, port: int, limit_s: float) -> None:
        self.host = host
        self.port = port
        self.limit_s = limit_s

    @contextlib.contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with self.host.connect(LOCALHOST, self.port, self.limit_s) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield sock

    def round_trips_ms(self, count: int) -> list[float]:
        """Times of one byte there and back, with pauses as between keystrokes; fewer of them at the limit."""
        times_ms: list[float] = []
        ends_s = time.monotonic() + self.limit_s
        with self.connected() as sock, contextlib.suppress(TimeoutError):
            sock.sendall(ECHO + b"x")
            sock.recv(1)
            while len(times_ms) < count and time.monotonic() < ends_s:
                time.sleep(PAUSE_S)
                began_s = time.perf_counter()
                sock.sendall(b"x")
                sock.recv(1)
                times_ms.append((time.perf_counter() - began_s) * 1e3)
        return times_ms

    def openings_ms(self, count: int) -> list[float]:
        """Times from connect to the first byte, infinite where no byte came; fewer of them at the limit."""
        times_ms: list[float] = []
        ends_s = time.monotonic() + self.limit_s
        while len(times_ms) < count and time.monotonic() < ends_s:
            took_ms = math.inf
            began_s = time.perf_counter()
            with contextlib.suppress(OSError), self.connected() as sock:
                sock.sendall(ECHO + b"x")
                if sock.recv(1):
                    took_ms = (time.perf_counter() - began_s) * 1e3
            times_ms.append(took_ms)
        return times_ms

    def fetch(self, size: int) -> Fetched:
        received = 0
        buffer = bytearray(RECEIVE_BYTES)
        began_s = time.monotonic()
        with self.connected() as sock, contextlib.suppress(TimeoutError):
            sock.sendall(size.to_bytes(8))
            while received < size and (left_s := began_s + self.limit_s - time.monotonic()) > 0:
                sock.settimeout(left_s)
                if not (count := sock.recv_into(buffer)):
                    break
                received += count
        return Fetched(size, received, time.monotonic() - began_s)

    def crowd(self, count: int) -> Crowd:
        return asyncio.run(self._crowd(count))

    @contextlib.contextmanager
    def stalled(self, count: int, size: int) -> Iterator[None]:
        """Open so many streams whose clients ask for `size` bytes each and read nothing."""
        with contextlib.ExitStack() as open_ones:
            for _ in range(count):
                open_ones.enter_context(self.connected()).sendall(size.to_bytes(8))
            yield

    async def _crowd(self, count: int) -> Crowd:
        socks = [self.host.socket() for _ in range(count)]
        for sock in socks:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            answered, answered_s = await self._all([self._open(sock) for sock in socks])
            served, served_s = await self._all([self._echo(sock) for sock in socks])
        finally:
            for sock in socks:
                sock.close()
        return Crowd(count, answered, answered_s, served, served_s)

    async def _all(self, work: list[Coroutine[None, None, None]]) -> tuple[int, float]:
        """The number that ended within the limit, and the seconds until the last one did."""
        began_s = time.monotonic()
        tasks = [asyncio.create_task(each) for each in work]
        _, late = await asyncio.wait(tasks, timeout=self.limit_s)
        took_s = time.monotonic() - began_s
        for task in late:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        return sum(end is None for end in ends), took_s

    async def _open(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (LOCALHOST, self.port))
        await loop.sock_sendall(sock, ECHO + b"x")
        await self._receive(sock, 1)

    async def _echo(self, sock: socket.socket) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, bytes(STREAM_BYTES))
        await self._receive(sock, STREAM_BYTES)

    async def _receive(self, sock: socket.socket, count: int) -> None:
        while count:
            if not (data := await asyncio.get_running_loop().sock_recv(sock, count)):
                raise ConnectionResetError
            count -= len(data)
