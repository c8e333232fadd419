"""One stream of a speed test, on either side: lines, and bytes that mean nothing.

The bytes are random, made once, so that nothing on the way can compress them, and sent again and again.
"""

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import AsyncIterator

from ...wire.speed.messages import MOST_LINE_BYTES, Lines, Message, encode

BLOCK_BYTES = 1 << 20
"""More than the window of what compresses streams quickly."""
CHUNK_BYTES = 128 * 1024
"""Handed over in one piece; the event loop's other work goes on as soon as the socket is full."""


class LineStream:
    """Messages both ways. `sock` is connected and non-blocking, and closed by the caller."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._lines = Lines()
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()

    async def send(self, message: Message) -> None:
        """Raises OSError."""
        async with self._sending:
            await self._loop.sock_sendall(self.sock, encode(message))

    async def receive(self) -> Message:
        """Raises BadLineError, EOFError, OSError."""
        while (message := self._lines.next()) is None:
            data = await self._loop.sock_recv(self.sock, MOST_LINE_BYTES)
            if not data:
                raise EOFError("the other side has ended the stream")
            self._lines.feed(data)
        return message

    async def receive_load(self) -> AsyncIterator[int]:
        """How many bytes come after the last message, piece by piece, until the end. Raises OSError."""
        if rest := self._lines.rest():
            yield len(rest)
        buffer = bytearray(CHUNK_BYTES)
        while count := await self._loop.sock_recv_into(self.sock, buffer):
            yield count

    async def send_load(self, seconds: float) -> None:
        """Sends for so long. Raises OSError."""
        block, at = memoryview(random_block()), 0
        until_s = self._loop.time() + seconds
        with contextlib.suppress(TimeoutError):  # the last piece is still under way
            async with asyncio.timeout_at(until_s):
                while self._loop.time() < until_s:
                    await self._loop.sock_sendall(self.sock, block[at : at + CHUNK_BYTES])
                    at = (at + CHUNK_BYTES) % BLOCK_BYTES


@functools.cache
def random_block() -> bytes:
    return os.urandom(BLOCK_BYTES)
