"""One stream of a speed test, on either side: lines, and bytes that mean nothing.

The bytes are random, made once, so that nothing on the way can compress them, and sent again and again.
"""

import asyncio
import functools
import os
import socket
from collections.abc import Callable

from ...wire.jsonlines import MAX_LINE_BYTES
from ...wire.speed.messages import Lines, Message, encode

BLOCK_BYTES = 1 << 20
"""More than the window of what compresses streams quickly."""
CHUNK_BYTES = 256 * 1024
"""At most so much is moved in one turn of the event loop, about 0.1 ms; then others have theirs."""


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
        """Raises LineFaultError, EOFError, OSError."""
        while (message := self._lines.next()) is None:
            data = await self._loop.sock_recv(self.sock, MAX_LINE_BYTES)
            if not data:
                raise EOFError("the other side has ended the stream")
            self._lines.feed(data)
        return message

    async def send_load(self, seconds: float) -> None:
        """Sends for so long. Raises OSError."""
        block, at, done = memoryview(random_block()), 0, self._loop.create_future()

        def write() -> None:
            nonlocal at
            if done.done():  # cancelled in this turn of the loop
                return
            try:
                at = (at + self.sock.send(block[at : at + CHUNK_BYTES])) % BLOCK_BYTES
            except BlockingIOError:
                pass
            except OSError as failure:
                self._loop.remove_writer(self.sock)
                done.set_exception(failure)

        self._loop.add_writer(self.sock, write)
        try:
            await asyncio.wait_for(done, seconds)
        except TimeoutError:
            pass
        finally:
            self._loop.remove_writer(self.sock)

    async def receive_load(self, on_bytes: Callable[[int], object]) -> None:
        """Calls `on_bytes` with how many have come, each time, until the stream ends. Raises OSError."""
        buffer, done = bytearray(CHUNK_BYTES), self._loop.create_future()

        def read() -> None:
            if done.done():  # cancelled in this turn of the loop
                return
            try:
                count = self.sock.recv_into(buffer)
            except BlockingIOError:
                return
            except OSError as failure:
                self._loop.remove_reader(self.sock)
                done.set_exception(failure)
                return
            if count:
                on_bytes(count)
            else:
                self._loop.remove_reader(self.sock)
                done.set_result(None)

        if rest := self._lines.rest():
            on_bytes(len(rest))
        self._loop.add_reader(self.sock, read)
        try:
            await done
        finally:
            self._loop.remove_reader(self.sock)


@functools.cache
def random_block() -> bytes:
    return os.urandom(BLOCK_BYTES)
