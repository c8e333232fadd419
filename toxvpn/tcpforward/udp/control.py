"""The stream on which two peers speak about their associations: messages in and out, over a socket.

What the other side does not read is bounded: then the stream ends, and its associations with it.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Self

from ...wire.associations import MAX_LINE_BYTES, BadAssociationError, Message, decode, encode

log = logging.getLogger("toxvpn.tcpforward")

UNREAD_BYTES = 256 * 1024
"""More than the most associations can have to say at once."""


class ControlStream:
    """Made by `over`, which takes the socket over."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Self:
        return cls(*await asyncio.open_connection(sock=sock, limit=MAX_LINE_BYTES))

    async def messages(self) -> AsyncIterator[Message]:
        """Until the other side ends. Raises OSError, BadAssociationError."""
        while True:
            try:
                line = await self._reader.readline()
            except ValueError:
                raise BadAssociationError(f"a line of more than {MAX_LINE_BYTES} bytes") from None
            if not line.endswith(b"\n"):
                return
            yield decode(line)

    def send(self, message: Message) -> None:
        """Sends it in the background, or ends the stream."""
        if self._writer.transport.get_write_buffer_size() > UNREAD_BYTES:
            self._writer.transport.abort()
        if not self._writer.transport.is_closing():
            self._writer.write(encode(message))

    def close(self) -> None:
        """What was sent still goes out. Idempotent."""
        self._writer.close()
