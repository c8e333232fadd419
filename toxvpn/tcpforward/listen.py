"""Local listeners: a Listen of the command line in, accepted sockets out (to `caller.py`)."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import ClassVar

from ..tox.loglimit import LogLimit
from .bind import BACKLOG, bind
from .budget import DESCRIPTORS, STREAM_DESCRIPTORS, TOO_FEW_DESCRIPTORS
from .ends import socket_end
from .spec import AnyListen, Listen, UnixListen

log = logging.getLogger("toxvpn.tcpforward")

ACCEPT_PAUSE_S = 0.2
"""When no descriptor is left (others than streams hold them), connections wait in the backlog this long."""

Accepted = Callable[[socket.socket], Awaitable[None]]


def reset(local: socket.socket) -> None:
    """Resets a connection: the program at the other end learns at once that it is not served."""
    socket_end(local).close(clean=False)


class Listener:
    """Accepts connections, each in a task. Bound on construction, so that a port in use is reported early.

    Raises ToxvpnError (in use, no such address) or NoPermissionError (port below 1024). Sockets that
    are bound already are taken over as they are. `refuse` gets the connections that there is no room for,
    and closes them.
    """

    drops: ClassVar[Mapping[str, int]] = {}
    """As a DatagramListener has them: of a stream nothing is lost."""

    def __init__(
        self,
        listen: AnyListen | list[socket.socket],
        accepted: Accepted,
        refuse: Callable[[socket.socket], None] = reset,
    ) -> None:
        self._accepted = accepted
        self._refuse = refuse
        self._log_limit = LogLimit(at_once=1)
        self._loop = asyncio.get_running_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self.sockets = bind(listen) if isinstance(listen, Listen | UnixListen) else listen

    def start(self) -> None:
        for bound in self.sockets:
            self._loop.add_reader(bound, self._accept, bound)

    @property
    def connections(self) -> int:
        """The number of connections that run now."""
        return len(self._connections)

    def suspend(self) -> None:
        """Lets another socket listen on an address that overlaps with ours; resets what is in the backlog.

        Linux keeps the port for us meanwhile, so `resume` cannot fail.
        """
        for bound in self.sockets:
            bound.shutdown(socket.SHUT_RD)

    def resume(self) -> None:
        for bound in self.sockets:
            bound.listen(BACKLOG)

    def stop_listening(self) -> None:
        """Accepts no more connections. Idempotent."""
        while self.sockets:
            bound = self.sockets.pop()
            self._loop.remove_reader(bound)
            bound.close()

    async def close(self) -> None:
        """Accepts no more connections, and resets those that run. Idempotent."""
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
        local.setblocking(False)
        if local.family != socket.AF_UNIX:
            local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not DESCRIPTORS.take(STREAM_DESCRIPTORS):
            self._log_limit.log(log, logging.WARNING, "connections are refused: %s", TOO_FEW_DESCRIPTORS)
            self._refuse(local)
            return
        task = asyncio.ensure_future(self._accepted(local))
        self._connections.add(task)
        task.add_done_callback(partial(self._ended, local))

    def _ended(self, local: socket.socket, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        DESCRIPTORS.give(STREAM_DESCRIPTORS)
        local.close()  # when it was cancelled before it began

    def _pause(self, bound: socket.socket, failure: OSError) -> None:
        self._log_limit.log(log, logging.WARNING, "new connections must wait: %s", failure.strerror)
        self._loop.remove_reader(bound)
        self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again, bound)

    def _accept_again(self, bound: socket.socket) -> None:
        if bound.fileno() >= 0:
            self._loop.add_reader(bound, self._accept, bound)
