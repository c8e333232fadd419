"""The serving side of `toxvpn speed`: the built-in target @speed.

In: streams of a peer. Out: what the protocol (wire/speed/messages.py) promises: answers to pings, bytes to
the peer that asked, and how many came from it. Bytes go back on the stream that asked for them, so nobody
can have them sent to a third.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping

from ...tox.peer import Peer
from ...wire.jsonlines import LineFaultError
from ...wire.speed.book import Book, SpeedTest
from ...wire.speed.messages import (
    DOWN,
    VERSION,
    Answer,
    Ask,
    Begun,
    Load,
    Received,
    Refused,
    Sent,
    Want,
)
from ..builtin import Builtin
from ..fast.segments import Segments, between
from .streams import LineStream

log = logging.getLogger("toxvpn.tcpforward")

REFUSAL = (
    "speed tests are for who is on the network or was named here; allow_speed = true, in [server] or "
    "[peers.NAME] of config.toml, changes that"
)
FIRST_LINE_S = 10.0
PING_PAUSE_S = 0.01
"""Between two answers: nobody needs more."""
REPORT_S = 0.1
LATE_S = 5.0
"""How much longer than `seconds` the peer's bytes are counted: it begins to count at the first of them."""

CountSegments = Callable[[Peer], Mapping[int, Segments]]
"""Those of our streams to the peer on the fast road; none on the other road."""


class _Running:
    """A test, its control stream, and the tasks that send and receive for it."""

    def __init__(self, test: SpeedTest, control: LineStream) -> None:
        self.test = test
        self.control = control
        self.tasks: set[asyncio.Task[object]] = set()


class _Count:
    """How many bytes have come, and how long after the first of them."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self.total_bytes = 0
        self._first_s = self._last_s = 0.0

    def add(self, count: int) -> None:
        self._last_s = self._now()
        if self.total_bytes == 0:
            self._first_s = self._last_s
        self.total_bytes += count

    @property
    def received(self) -> Received:
        return Received(self.total_bytes, self._last_s - self._first_s)


class SpeedServer:
    """`may` decides by public key who may use it."""

    def __init__(self, may: Callable[[bytes], bool], count: CountSegments) -> None:
        self.builtin = Builtin(VERSION, may, REFUSAL, self._carry)
        self._count = count
        self._book = Book(lambda: os.urandom(8).hex())
        self._running: dict[str, _Running] = {}  # by the test's name

    async def _carry(self, peer: Peer, sock: socket.socket) -> None:
        """Raises OSError, EOFError."""
        stream = LineStream(sock)
        try:
            async with asyncio.timeout(FIRST_LINE_S):
                first = await stream.receive()
            if isinstance(first, Want):
                await self._control(peer, stream, first.seconds)
            elif isinstance(first, Load):
                await self._load(peer, stream, first)
        except TimeoutError:
            peer.log(log, logging.DEBUG, "a speed test has taken too long")
        except LineFaultError as failure:
            peer.log(log, logging.WARNING, "a speed test broke: %s", failure)

    async def _control(self, peer: Peer, stream: LineStream, wanted_s: float) -> None:
        loop = asyncio.get_running_loop()
        test = self._book.begin(peer.public_key, wanted_s, loop.time())
        if isinstance(test, Refused):
            await stream.send(test)
            return
        running = self._running[test.name] = _Running(test, stream)
        peer.log(log, logging.INFO, "a speed test of %g s in each direction", test.seconds)
        try:
            async with asyncio.timeout_at(test.ends_s):
                await stream.send(Begun(test.name, test.seconds))
                while True:
                    message = await stream.receive()
                    if isinstance(message, Ask):
                        await stream.send(Answer(message.number))
                    await asyncio.sleep(PING_PAUSE_S)
        except EOFError:
            pass  # the test is done
        finally:
            self._book.end(test)
            del self._running[test.name]
            for task in running.tasks:
                task.cancel()

    async def _load(self, peer: Peer, stream: LineStream, wanted: Load) -> None:
        test = self._book.find(peer.public_key, wanted.test)
        if test is None or not test.take(wanted.direction):
            return
        running = self._running[test.name]
        task = asyncio.current_task()
        assert task is not None
        running.tasks.add(task)
        try:
            if wanted.direction == DOWN:
                await self._send(peer, stream, running)
            else:
                await self._receive(stream, running)
        finally:
            running.tasks.discard(task)

    async def _send(self, peer: Peer, stream: LineStream, running: _Running) -> None:
        before = self._count(peer)
        try:
            await stream.send_load(running.test.seconds)
        finally:  # also when the peer has had enough
            sent = between(before, self._count(peer))
            if running.test.name in self._running:
                await running.control.send(Sent(*sent) if before else Sent(None, None))

    async def _receive(self, stream: LineStream, running: _Running) -> None:
        count = _Count()
        telling = asyncio.create_task(self._keep_telling(count, running.control))
        try:
            async with asyncio.timeout(running.test.seconds + LATE_S):
                await stream.receive_load(count.add)
            await running.control.send(count.received)
        finally:
            telling.cancel()

    async def _keep_telling(self, count: _Count, control: LineStream) -> None:
        with contextlib.suppress(OSError):  # the peer has ended the test
            while True:
                await asyncio.sleep(REPORT_S)
                await control.send(count.received)
