"""A stream as an asyncio transport: a socket pair, of which a road moves one end.

    the program's protocol <-> StreamTransport <-> socket pair <-> PairEnd <-> road

A pair of Unix sockets has no word for a reset. So PairEnd notes one, and the EOF that comes after it is taken
for what it is; the program's resets go to the road's task. Neighbour: streams.py makes them.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any, cast

from ..tcpforward.ends import SocketEnd

UNREAD_S = 60.0
"""How long a peer may go on sending after the program has closed a stream; the kernel allows a closed TCP
connection as long (tcp_fin_timeout)."""


def reset_error() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


class PairEnd(SocketEnd):
    """The road's end. `on_close` is called when the road lets go of it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.was_reset = False
        self.on_close: Callable[[], None] = lambda: None

    def close(self, *, clean: bool) -> None:
        self.was_reset = not clean
        super().close(clean=clean)
        self.on_close()


class StreamTransport(asyncio.Transport, asyncio.Protocol):
    """The transport of the program's protocol, and the protocol of the socket's own transport.

    `carrying` is the task that carries the stream. `lost` is done when the protocol has been told that the
    connection is lost, `released` when the road has let go of its end.
    """

    _start_tls_compatible = True  # loop.start_tls asks

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        end: PairEnd,
        carrying: "asyncio.Task[Any] | None",
        extra: dict[str, Any],
    ) -> None:
        super().__init__(extra)
        self._protocol = protocol
        self._end = end
        self._carrying = carrying
        self._loop = asyncio.get_running_loop()
        self._socket: asyncio.Transport
        self._has_eof = False
        self._ended_here = False
        self._failure: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.released: asyncio.Future[None] = self._loop.create_future()
        end.on_close = self._on_released

    def reset(self) -> None:
        """Resets the stream for both sides, also one that the program has closed and the peer has not."""
        self._end_here(reset_error())

    def _end_here(self, failure: Exception | None) -> None:
        self._ended_here, self._failure = True, failure
        if self._carrying is not None:
            self._carrying.cancel()
        if not self.lost.done():
            self._socket.abort()

    def _on_released(self) -> None:
        self.released.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        if self._end.was_reset and self._has_eof and not self.lost.done():
            self._socket.abort()  # nobody reads any more, and would notice

    # -- protocol of the socket's transport ----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        self._protocol.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if isinstance(self._protocol, asyncio.BufferedProtocol):  # as that of TLS
            _feed(self._protocol, memoryview(data))
        else:
            cast(asyncio.Protocol, self._protocol).data_received(data)

    def eof_received(self) -> bool | None:
        if self._end.was_reset:
            self._socket.abort()
            return True
        self._has_eof = True
        return cast(asyncio.Protocol, self._protocol).eof_received()

    def connection_lost(self, failure: Exception | None) -> None:
        if self._ended_here:
            failure = self._failure
        elif self._end.was_reset:
            failure = reset_error()
        elif not self.released.done():
            self._timer = self._loop.call_later(UNREAD_S, self.reset)
        self.lost.set_result(None)
        self._protocol.connection_lost(failure)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    # -- transport of the program's protocol ---------------------------------------------------

    def abort(self) -> None:
        """Resets the stream: the other side learns that bytes may be missing."""
        if not self.lost.done():
            self._end_here(None)

    def _force_close(self, failure: Exception | None) -> None:
        """What asyncio's TLS calls where it finds a fault."""
        self._end_here(failure)

    def close(self) -> None:
        self._socket.close()

    def is_closing(self) -> bool:
        return self._socket.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def pause_reading(self) -> None:
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        self._socket.resume_reading()

    def is_reading(self) -> bool:
        return self._socket.is_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._socket.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._socket.writelines(list_of_data)

    def write_eof(self) -> None:
        self._socket.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._socket.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._socket.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._socket.get_write_buffer_size()


def _feed(protocol: asyncio.BufferedProtocol, data: memoryview) -> None:
    while data:
        room = memoryview(protocol.get_buffer(len(data)))
        count = min(len(room), len(data))
        room[:count] = data[:count]
        protocol.buffer_updated(count)
        data = data[count:]
