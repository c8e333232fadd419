"""The stream on which two peers speak about their associations: messages in and out, over a socket.

What the other side does not read is bounded: then the stream ends, and its associations with it.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Self

from ...wire.associations import Message, decode, encode
from ...wire.jsonlines import JsonLines, encode_line

READ_BYTES = 4096
UNREAD_BYTES = 256 * 1024
"""More than the most associations can have to say at once."""


class ControlStream:
    """Made by `over`, which takes the socket over."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._lines = JsonLines()

    @classmethod
    async def over(cls, sock: socket.socket) -> Self:
        return cls(*await asyncio.open_connection(sock=sock))

    async def messages(self) -> AsyncIterator[Message]:
        """Until the other side ends. Raises OSError, LineFaultError."""
        while data := await self._reader.read(READ_BYTES):
            for line in self._lines.receive(data):
                yield decode(line)
            await asyncio.sleep(0)  # what has come already can be much: others want their turn

    def send(self, message: Message) -> None:
        """Sends it in the background, or ends the stream."""
        if self._writer.transport.get_write_buffer_size() > UNREAD_BYTES:
            self._writer.transport.abort()
        if not self._writer.transport.is_closing():
            self._writer.write(encode_line(encode(message)))

    def close(self) -> None:
        """What was sent still goes out. Idempotent."""
        self._writer.close()
