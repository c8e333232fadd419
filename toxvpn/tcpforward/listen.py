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

    Raises ToxvpnError (in use, no such address) or NoPermissionError (port below 1024).
    """

    def __init__(self, listen: Listen, accepted: Accepted) -> None:
        self._accepted = accepted
        self._tasks: set[asyncio.Task[None]] = set()
        self.sockets = bind(listen)

    def start(self) -> None:
        for bound in self.sockets:
            self._run(self._accept(bound))

    async def close(self) -> None:
        """No more connections; those that run are cancelled, which resets them."""
        for bound in self.sockets:
            bound.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                local, _ = await loop.sock_accept(bound)
            except OSError as failure:
                if failure.errno == errno.EBADF:
                    return
                if failure.errno != errno.ECONNABORTED:
                    log.warning("cannot accept a connection: %s", failure.strerror)
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            local.setblocking(False)
            local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._run(self._accepted(local))


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
