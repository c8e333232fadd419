"""What a run with peers lends to commands of its own user: streams through the peers that it is connected to.

A command that needs the identity of the toxvpn that runs (`toxvpn -i PEER -L …` beside `toxvpn up`) cannot
have a node of its own with it. So it hands its descriptors over here, as it would to a shared node, and
names the peer. A command of another user, one that wants another proxy than ours, or one whose peer is
neither here nor asked by us, is hung up on without a word, and goes its own way.
"""

import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from ..control import socketfile
from ..control.status import ForwardState
from ..daemon.client import RunningClient
from ..daemon.node import Base
from ..daemon.services import Services
from ..state.places import make
from ..tcpforward.listen import Listener
from ..tox.proxy import Proxy
from .meeting import RUN_SOCKET_NAME
from .messages import KIND, Message, NonsenseError
from .retell import Aside
from .session import Session

log = logging.getLogger("toxvpn.share")


class Lender:
    """Serves from construction until `close`; `listeners`, none or one, are taken over."""

    def __init__(
        self, run: Base, services: Services, proxy: Proxy | None, listeners: list[socket.socket]
    ) -> None:
        self._run = run
        self._services = services
        self._proxy = proxy
        self._retelling = Aside()
        self._sessions: set[Session] = set()
        self._listener = Listener(listeners, self._serve)
        self._listener.start()

    async def close(self) -> None:
        await self._listener.close()
        self._retelling.close()

    def states(self) -> list[ForwardState]:
        return [state for session in self._sessions for state in session.states()]

    async def _serve(self, connection: socket.socket) -> None:
        session = Session(connection, self._find_client, self._retelling)
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

    def _find_client(self, request: Message) -> RunningClient:
        """Raises NonsenseError when the peer is not ours, or is to be called through another proxy."""
        try:
            peer = self._run.node.peer(bytes.fromhex(request["peer"]))
        except (KeyError, TypeError, ValueError):
            raise NonsenseError("it names no peer") from None
        if peer is None or not (peer.online or peer.public_key in self._asked()):
            raise NonsenseError("the peer is none of ours")
        wanted = request.get("proxy")
        if wanted is not None and wanted != str(self._proxy):
            raise NonsenseError("it wants another proxy")
        self._services.forwarding.start()
        caller = self._services.callers.get(peer.public_key)
        return RunningClient(self._run, caller, self._services.forwarding, None)

    def _asked(self) -> set[bytes]:
        """Whom we ask to let us in: others come when they want, and perhaps never."""
        return {peer.public_key for peer in self._services.roster.called}


@contextlib.asynccontextmanager
async def lending(
    run: Base, services: Services, directory: Path, proxy: Proxy | None = None
) -> AsyncIterator[Lender]:
    """With a socket in `directory`; without one, where that cannot be: all else goes on."""
    path = make(directory) / RUN_SOCKET_NAME
    with contextlib.ExitStack() as undo:
        listeners = []
        try:
            listener = socketfile.listen_as(path, KIND)
            listener.setblocking(False)
            listeners.append(listener)
            undo.callback(socketfile.remove_at, path, socketfile.identify(path))
        except OSError as error:
            log.warning("commands cannot use this connection: no socket %s: %s", path, error.strerror)
        lender = Lender(run, services, proxy, listeners)
        try:
            yield lender
        finally:
            await lender.close()
