"""The local end of a stream: a socket, or stdin and stdout as one.

Made of two descriptors, both non-blocking, equal for a socket. Unless `close(clean=True)` is
called, the other side sees a reset, also when this process is killed: an end is armed from the
start, so that missing bytes never look like an orderly end. Bytes are moved by `relay.py`
between two ends, by `tuntox/stream.py` between an end and Tox.
"""

import contextlib
import os
import select
import socket
import stat
import struct
import sys
from typing import Protocol

from ..errors import LinkError
from .unix.end import UnixEnd

TCP_NOTSENT_LOWAT = 25  # linux/tcp.h
UNSENT_BYTES = 256 * 1024
"""Bytes that the kernel buffers for a reader that stalls, instead of several MB; costs no throughput."""
_RESET = struct.pack("ii", 1, 0)  # struct linger: close() drops what is unsent and sends RST
_ORDERLY = struct.pack("ii", 0, 0)


class End(Protocol):
    """Owned by the code that moves the bytes, which calls `close` exactly once. -1 is a closed descriptor.

    `wake_fd` is readable when there may be something to read; so is `read_fd`, which an end may leave
    readable for longer. `short_read_is_all`: a read that gives less than was asked for has taken everything.
    """

    read_fd: int
    write_fd: int
    short_read_is_all: bool

    @property
    def wake_fd(self) -> int: ...

    def read_into(self, buffer: memoryview) -> int:
        """The number of bytes read; 0 at EOF. Raises BlockingIOError, OSError."""

    def finish(self) -> None:
        """No more bytes will be written; reading goes on. The other side sees EOF. Raises OSError."""

    def close(self, *, clean: bool) -> None:
        """`clean` means that every byte of both directions was handed over. Raises nothing."""


class SocketEnd:
    """A connected stream socket."""

    short_read_is_all = True

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        if self._is_tcp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self.read_fd = self.write_fd = self.wake_fd = sock.fileno()

    def read_into(self, buffer: memoryview) -> int:
        return os.readv(self.read_fd, [buffer])

    def finish(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def detach(self) -> socket.socket:
        """The socket, to be copied for another process: from now on closing the last copy is orderly."""
        if self._is_tcp:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ORDERLY)
        return self._sock

    def close(self, *, clean: bool) -> None:
        if clean and self._is_tcp:
            with contextlib.suppress(OSError):  # a socket the other side has reset meanwhile
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ORDERLY)
        self._sock.close()


def socket_end(sock: socket.socket) -> End:
    """The end of that socket, armed as its family lets us."""
    return UnixEnd(sock) if sock.family == socket.AF_UNIX else SocketEnd(sock)


def check_stdio(target: str) -> None:
    """Raises LinkError if stdin or stdout is closed: its number may be another file's by now."""
    if sys.stdin is None or sys.stdout is None:
        raise LinkError(f"{target}: stdin or stdout is closed; -P connects both to the target, so open them")


class StdioEnd:
    """Two descriptors of any kind (pipe, terminal, file, socket) that belong to the whole process.

    Other programs may share them, and with them the O_NONBLOCK flag (a shell its terminal). So ours
    are opened anew where that can be; where it cannot, the flag is put back at the end.
    """

    def __init__(self, read_fd: int = 0, write_fd: int = 1) -> None:
        # both before either is changed: they may be one socket
        blocking = os.get_blocking(read_fd), os.get_blocking(write_fd)
        self._originals: dict[int, tuple[int, bool]] = {}  # own descriptor -> original, its flag
        self.read_fd = self.wake_fd = self._own(read_fd, os.O_RDONLY, blocking[0])
        self.write_fd = self._own(write_fd, os.O_WRONLY, blocking[1])
        # epoll(7), questions and answers, 9: a terminal gives one line at a time, a socket all it has
        self.short_read_is_all = stat.S_ISSOCK(os.fstat(self.read_fd).st_mode)

    def read_into(self, buffer: memoryview) -> int:
        return os.readv(self.read_fd, [buffer])

    def finish(self) -> None:
        """A pipe ends when every copy of it is closed, the original too, which /dev/null then replaces."""
        if stat.S_ISSOCK(os.fstat(self.write_fd).st_mode):
            with socket.socket(fileno=os.dup(self.write_fd)) as sock:
                sock.shutdown(socket.SHUT_WR)
            return
        original, _ = self._originals[self.write_fd]
        self._release(self.write_fd)
        self.write_fd = -1
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, original)
        os.close(null)

    def close(self, *, clean: bool) -> None:
        if self.write_fd >= 0:
            self.reader_has_gone = _reader_has_gone(self.write_fd)
        for own in list(self._originals):
            self._release(own)

    def _own(self, fd: int, mode: int, blocking: bool) -> int:
        kind = os.fstat(fd).st_mode
        if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
            with contextlib.suppress(OSError):
                own = os.open(f"/proc/self/fd/{fd}", mode | os.O_NONBLOCK | os.O_NOCTTY)
                self._originals[own] = (fd, blocking)
                return own
        own = os.dup(fd)
        os.set_blocking(own, False)
        self._originals[own] = (fd, blocking)
        return own

    def _release(self, own: int) -> None:
        original, blocking = self._originals.pop(own)
        os.close(own)
        with contextlib.suppress(OSError):  # somebody has closed it
            os.set_blocking(original, blocking)


def _reader_has_gone(fd: int) -> bool:
    """poll(2): POLLERR on a pipe whose reading end is closed, POLLHUP on a socket whose other end is."""
    poller = select.poll()
    poller.register(fd, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poller.poll(0))
