"""The local end of a stream that is a Unix socket, armed like that of TCP as far as Linux lets us.

A Unix socket has no RST. But closing one with bytes unread gives the program at the other end ECONNRESET,
after what it was sent, instead of EOF (net/unix/af_unix.c, unix_release_sock). So the last byte of what the
program has sent stays unread in the kernel, though it was peeked at and carried on, until the stream has
ended well. Whatever else closes the socket, the end of this process too, resets it.

A program that has not sent a byte yet sees EOF: for that Linux has no means.
"""

import contextlib
import functools
import select
import socket

from ..budget import DESCRIPTORS

SO_PEEK_OFF = 42  # socket(7)
_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


@functools.cache
def _scratch() -> memoryview:
    return memoryview(bytearray(256 * 1024))


class UnixEnd:
    """A connected stream socket. See ends.End."""

    short_read_is_all = False  # a read stops at bytes that descriptors came with, unix(7)

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._holds = False  # a byte that was carried on is still unread
        self._edges: select.epoll | None = None
        self.read_fd = self.write_fd = sock.fileno()
        sock.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 0)

    @property
    def wake_fd(self) -> int:
        """Readable when something may be there to read: the socket itself always is, with a byte held."""
        if self._edges is None:
            self._edges = select.epoll()
            DESCRIPTORS.add(1)
            self._edges.register(self.read_fd, _EVENTS)
        return self._edges.fileno()

    def read_into(self, buffer: memoryview) -> int:
        if self._edges is not None:
            self._edges.poll(0)  # what comes from here on is a new event
        count = self._sock.recv_into(buffer, 0, socket.MSG_PEEK)
        if count:
            self._consume(count if self._holds else count - 1)
            self._holds = True
            if self._edges is not None:
                self._edges.modify(self.read_fd, _EVENTS)  # there may be more
        return count

    def finish(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def close(self, *, clean: bool) -> None:
        if clean and self._holds:
            with contextlib.suppress(OSError):
                self._consume(1)
        if self._edges is not None:
            self._edges.close()
            self._edges = None
            DESCRIPTORS.give(1)
        self._sock.close()

    def _consume(self, count: int) -> None:
        """Takes bytes that were peeked at out of the queue. Raises OSError."""
        while count:
            taken = self._sock.recv_into(_scratch()[:count])
            if not taken:
                raise ConnectionResetError("bytes that were there are gone")
            count -= taken
