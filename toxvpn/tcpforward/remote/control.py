"""The control stream of one `-R` listener, at either side: messages, and whether the other side is there."""

import asyncio
import contextlib
import socket
from collections import deque
from typing import Self

from ...wire.jsonlines import JsonLines, encode_line
from ...wire.remotelisten import (
    ListenGrant,
    ListenPing,
    ListenPong,
    ListenRefused,
    ListenRequest,
    Message,
    decode,
    encode,
)

READ_BYTES = 512
PAUSE_S = 0.01
"""Between two reads: nobody has more to say, and the other peers want their turn."""

Word = ListenRequest | ListenGrant | ListenRefused


class Control:
    """Takes a connected, non-blocking socket over; a context manager, which closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._lines = JsonLines()
        self._words: deque[Word] = deque()
        self._pong: asyncio.Future[bool] | None = None
        self._pause_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answered(False)
        self._sock.close()

    def send(self, message: Message) -> None:
        """Raises OSError: the other side is gone, or has read nothing for long."""
        line = encode_line(encode(message))
        if self._sock.send(line) < len(line):
            raise BlockingIOError

    async def receive(self) -> Word | None:
        """The next message, None at the end; answers pings meanwhile. Raises LineFaultError, OSError."""
        while not self._words:
            await asyncio.sleep(self._pause_s)
            self._pause_s = PAUSE_S
            data = await self._loop.sock_recv(self._sock, READ_BYTES)
            if not data:
                self._answered(False)
                return None
            for line in self._lines.receive(data):
                self._take(decode(line))
        return self._words.popleft()

    async def until_end(self) -> None:
        """Returns at the end of the stream; pings are answered until then. Raises LineFaultError, OSError."""
        while await self.receive() is not None:
            pass

    async def is_answered(self, deadline_s: float) -> bool:
        """Whether the other side answers in time. Somebody else must be in `receive`."""
        try:
            if self._pong is None:
                self._pong = self._loop.create_future()
                self.send(ListenPing())
            async with asyncio.timeout(deadline_s):
                return await asyncio.shield(self._pong)
        except OSError:  # TimeoutError is one
            self._answered(False)
            return False

    def end(self) -> None:
        """Makes `receive` return None."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _take(self, message: Message | None) -> None:
        """Raises OSError."""
        match message:
            case ListenPing():
                self.send(ListenPong())
            case ListenPong():
                self._answered(True)
            case ListenRequest() | ListenGrant() | ListenRefused():
                self._words.append(message)

    def _answered(self, answered: bool) -> None:
        pong, self._pong = self._pong, None
        if pong is not None and not pong.done():
            pong.set_result(answered)
