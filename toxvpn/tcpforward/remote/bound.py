"""The sockets of a listener that a peer asked for: all of its addresses with one port."""

import errno
import socket

from ...errors import NoPermissionError, ToxvpnError
from ...wire.remotelisten import IPAddress, ListenRefusal
from ..bind import MISSING, bind_one
from ..spec import Listen, Transport, UnixListen
from ..unix.file import SocketFile

TRIES = 8
"""For a port of the kernel's choice that is free on every address."""


class ListenRefusedError(Exception):
    """The listener cannot be; `refusal` is what the peer is told."""

    def __init__(self, refusal: ListenRefusal, reason: str) -> None:
        super().__init__(reason)
        self.refusal = refusal


def bind_all(
    addresses: tuple[IPAddress, ...], port: int, transport: Transport = Transport.TCP
) -> list[socket.socket]:
    """Non-blocking sockets, listening if of TCP; of several addresses this machine need not have all.

    Port 0: one that is free. Raises ListenRefusedError.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return _bind_all(addresses, port, transport)
        except OSError as failure:
            if port or not tries_left or failure.errno != errno.EADDRINUSE:
                raise _refused(failure) from None
    raise AssertionError


def bind_path(path: str) -> SocketFile:
    """Raises ListenRefusedError."""
    try:
        return SocketFile(UnixListen(path))
    except NoPermissionError as failure:
        raise ListenRefusedError(ListenRefusal.NO_PRIVILEGE, str(failure)) from None
    except ToxvpnError as failure:
        raise ListenRefusedError(ListenRefusal.IN_USE, str(failure)) from None


def place(sock: socket.socket) -> tuple[str, int]:
    """The address and port that it is bound to."""
    host, port, *_ = sock.getsockname()
    return host, port


def _bind_all(addresses: tuple[IPAddress, ...], port: int, transport: Transport) -> list[socket.socket]:
    """Raises OSError."""
    found: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for address in addresses:
            try:
                found.append(bind_one(str(address), Listen((), port, transport)))
            except OSError as failure:
                if failure.errno not in MISSING:
                    raise
                missing = failure
            else:
                port = place(found[0])[1]
        if missing and not found:
            raise missing
    except BaseException:
        for sock in found:
            sock.close()
        raise
    return found


def _refused(failure: OSError) -> ListenRefusedError:
    reason = failure.strerror or str(failure)
    match failure.errno:
        case errno.EADDRINUSE:
            return ListenRefusedError(ListenRefusal.IN_USE, reason)
        case errno.EACCES | errno.EPERM:
            return ListenRefusedError(ListenRefusal.NO_PRIVILEGE, reason)
    return ListenRefusedError(ListenRefusal.NO_ADDRESS, reason)
