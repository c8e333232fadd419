"""Binds the listening sockets of -L and -D, before anything is promised; `listen.py` accepts on them.

Those of UDP forwards get datagrams (udp/listener.py).

Needs no event loop, so that a command can bind sockets and hand them to another process (share/).
"""

import errno
import socket

from ..errors import NoPermissionError, ToxvpnError
from .spec import AnyListen, Listen, Transport, UnixListen, join_host_port
from .udp.room import make_room
from .unix.file import SocketFile

BACKLOG = 1024
"""A browser or `xargs -P` opens many at once; the kernel caps it at net.core.somaxconn."""

MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""This machine does not have the address."""


def bind(listen: AnyListen) -> list[socket.socket]:
    """A non-blocking socket for each address; ::1 may be missing on a machine without IPv6.

    Closing that of a Unix socket removes its file.

    Raises ToxvpnError (in use, no such address) or NoPermissionError (port below 1024).
    """
    if isinstance(listen, UnixListen):
        return [SocketFile(listen)]
    found: list[socket.socket] = []
    failures: list[OSError] = []
    for host in listen.hosts:
        try:
            found.append(bind_one(host, listen))
        except OSError as failure:
            if failure.errno not in MISSING or len(listen.hosts) == 1:
                for other in found:
                    other.close()
                raise _bind_error(host, listen.port, failure) from None
            failures.append(failure)
    if not found:
        raise _bind_error(listen.hosts[0], listen.port, failures[0])
    return found


def bind_one(host: str, listen: Listen) -> socket.socket:
    """A non-blocking socket, bound to `host`, for what `listen` says else. Raises OSError."""
    is_tcp = listen.transport is Transport.TCP
    wanted = socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, listen.port, type=wanted, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if is_tcp:  # with UDP it would let any other program take the port over
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        if is_tcp:
            bound.listen(BACKLOG)
        else:
            make_room(bound)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def _bind_error(host: str, port: int, failure: OSError) -> ToxvpnError:
    where = join_host_port(host, port)
    if failure.errno == errno.EADDRINUSE:
        return ToxvpnError(
            f"cannot listen on {where}: the port is in use; choose another one, or stop what uses it"
        )
    if failure.errno in (errno.EACCES, errno.EPERM):
        return NoPermissionError(
            f"cannot listen on {where}: ports below 1024 need root; start as root, or choose a higher one"
        )
    return ToxvpnError(
        f"cannot listen on {where}: {failure.strerror or failure}; give an address of this machine"
    )
