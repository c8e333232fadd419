"""Lends the connections of a run with peers to commands of the same user, and of root.

A command that needs the identity of the toxvpn that runs (`toxvpn -i PEER -L …` beside `toxvpn up`) cannot
have a node of its own with it. So it hands its descriptors over here, as it would to a shared node, and
names the peer. The connection is closed without an answer, and the command goes on without us, when it is of
neither, wants another proxy than ours, or names a peer that is neither online here nor called by us.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from ..control import socketfile
from ..members.roster import Roster
from ..state.places import make
from ..tcpforward.builtin import Builtins
from ..tcpforward.caller import Caller
from ..tcpforward.forwards import ForwardState
from ..tcpforward.listen import Listener
from ..tcpforward.roads import Roads
from ..tox.node import Node
from ..tox.proxy import Proxy
from .logrelay import RunLogRelay
from .messages import KIND, BadMessageError, Message
from .rendezvous import RUN_SOCKET_NAME
from .session import CommandSession
from .streams import PeerStreams

log = logging.getLogger("toxvpn.share")


@dataclass(frozen=True, slots=True)
class Lendable:
    """The things of a run that commands may use. `caller` takes a public key; `stopping` ends the run."""

    node: Node
    roster: Roster
    roads: Roads
    builtins: Builtins
    caller: Callable[[bytes], Caller]
    stopping: asyncio.Event
    proxy: Proxy | None
    loss: Callable[[bytes], float | None]


class Lender:
    """Serves commands until `close`. Takes over `listeners`, of which there is one, or none."""

    def __init__(self, lent: Lendable, listeners: list[socket.socket]) -> None:
        self._lent = lent
        self._log_relay = RunLogRelay()
        self._sessions: set[CommandSession] = set()
        self._listener = Listener(listeners, self._serve)
        self._listener.start()

    async def close(self) -> None:
        await self._listener.close()
        self._log_relay.close()

    def states(self) -> list[ForwardState]:
        return [state for session in self._sessions for state in session.states()]

    async def _serve(self, connection: socket.socket) -> None:
        session = CommandSession(connection, self._find_streams, self._log_relay)
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

    def _find_streams(self, request: Message) -> PeerStreams:
        """Raises BadMessageError when the peer is not connected here, or is wanted through another proxy."""
        lent = self._lent
        try:
            peer = lent.node.peer(bytes.fromhex(request["peer"]))
        except (KeyError, TypeError, ValueError):
            raise BadMessageError(f"the request names no peer: {request!r}") from None
        if peer is None or not (peer.online or peer.public_key in self._called()):
            raise BadMessageError(f"this run does not call the peer {request['peer']}")
        wanted = request.get("proxy")
        if wanted is not None and wanted != str(lent.proxy):
            raise BadMessageError(f"the command wants the proxy {wanted}")
        lent.roads.start()
        return PeerStreams(lent.caller(peer.public_key), lent.roads, lent.builtins, lent.stopping, lent.loss)

    def _called(self) -> set[bytes]:
        """The peers that we call: others come online when they want, and perhaps never."""
        return {peer.public_key for peer in self._lent.roster.called}


@contextlib.asynccontextmanager
async def lending(lent: Lendable, directory: Path) -> AsyncIterator[Lender]:
    """Lends to commands that connect to a socket in `directory`; to none if the socket cannot be made."""
    path = make(directory) / RUN_SOCKET_NAME
    with contextlib.ExitStack() as undo:
        listeners = []
        try:
            listener = socketfile.listen_as(path, KIND)
            listener.setblocking(False)
            listeners.append(listener)
            undo.callback(socketfile.remove_at, path, socketfile.identify(path))
        except OSError as error:
            log.warning("other commands cannot use this node: cannot make %s: %s", path, error.strerror)
        lender = Lender(lent, listeners)
        try:
            yield lender
        finally:
            await lender.close()
