"""Local listeners: a Listen of the command line in, accepted sockets out (to `client.py`)."""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable

from ..errors import NoPermissionError, ToxvpnError
from .spec import Listen, join_host_port

log = logging.getLogger("toxvpn.tcpforward")

BACKLOG = 1024
"""A browser or `xargs -P` opens many at once; the kernel caps it at net.core.somaxconn."""
ACCEPT_PAUSE_S = 0.2
"""Out of descriptors: the connections wait in the backlog until some are free again."""

Accepted = Callable[[socket.socket], Awaitable[None]]


class Listener:
    """Bound on construction, so that a port in use is told before anything is promised.

    Raises ToxvpnError (in use, no such address) or NoPermissionError (port below 1024). Sockets that
    are bound already are taken over as they are.
    """

    def __init__(self, listen: Listen | list[socket.socket], accepted: Accepted) -> None:
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._complained = False
        self.sockets = bind(listen) if isinstance(listen, Listen) else listen

    def start(self) -> None:
        for bound in self.sockets:
            self._loop.add_reader(bound, self._accept, bound)

    @property
    def connections(self) -> int:
        """How many run now."""
        return len(self._connections)

    def stop_listening(self) -> None:
        """No more connections. Idempotent."""
        while self.sockets:
            bound = self.sockets.pop()
            self._loop.remove_reader(bound)
            bound.close()

    async def close(self) -> None:
        """No more connections; those that run are cancelled, which resets them. Idempotent."""
        self.stop_listening()
        running = list(self._connections)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _accept(self, bound: socket.socket) -> None:
        try:
            local, _ = bound.accept()
        except (BlockingIOError, ConnectionAbortedError):  # it went away before we came
            return
        except OSError as failure:
            self._pause(bound, failure)
            return
        self._complained = False
        local.setblocking(False)
        local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.ensure_future(self._accepted(local))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: local.close())  # also when it was cancelled before it began

    def _pause(self, bound: socket.socket, failure: OSError) -> None:
        if not self._complained:
            self._complained = True
            log.warning("connections have to wait: %s", failure.strerror)
        self._loop.remove_reader(bound)
        self._loop.call_later(ACCEPT_PAUSE_S, self._resume, bound)

    def _resume(self, bound: socket.socket) -> None:
        if bound.fileno() >= 0:
            self._loop.add_reader(bound, self._accept, bound)


def bind(listen: Listen) -> list[socket.socket]:
    """A listening socket for each address; ::1 may be missing on a machine without IPv6."""
    found: list[socket.socket] = []
    failures: list[OSError] = []
    for host in listen.hosts:
        try:
            found.append(_bind_one(host, listen.port))
        except OSError as failure:
            if failure.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) or len(listen.hosts) == 1:
                for other in found:
                    other.close()
                raise _told(host, listen.port, failure) from None
            failures.append(failure)
    if not found:
        raise _told(listen.hosts[0], listen.port, failures[0])
    return found


def _bind_one(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def _told(host: str, port: int, failure: OSError) -> ToxvpnError:
    where = join_host_port(host, port)
    if failure.errno == errno.EADDRINUSE:
        return ToxvpnError(
            f"cannot listen on {where}: the port is in use; choose another one, or end who has it"
        )
    if failure.errno in (errno.EACCES, errno.EPERM):
        return NoPermissionError(f"cannot listen on {where}: ports below 1024 need root; choose a higher one")
    return ToxvpnError(
        f"cannot listen on {where}: {failure.strerror or failure}; give an address of this machine"
    )
