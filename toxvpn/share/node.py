"""A shared node: serves all commands of a user that call one server, and ends when they stop using it.

In: connections of commands, and streams to the server. It ends LINGER_S after the last command, sooner when
the peer is offline, and by SIGTERM at any time. When it fails while it ends, it ends all the same: its socket
may be gone, and then nothing could find it to stop it. Neighbours: daemon/shared_node.py is its process.
"""

import asyncio
import contextlib
import logging
import select
import socket

from .. import descriptors
from ..control import socketfile
from ..errors import ToxvpnError
from ..tcpforward.forwards import ForwardState
from ..tcpforward.listen import Listener
from ..tox.events import Event, PeerConnection
from ..tox.node import Node
from . import messages
from .logrelay import NodeLogRelay
from .messages import BadMessageError
from .rendezvous import NotSharedError, Rendezvous
from .session import CommandSession
from .streams import PeerStreams

log = logging.getLogger("toxvpn.share")

LINGER_S = 600.0
"""How long it stays connected with no command using it."""
LINGER_KEPT_S = 60.0
"""The same with a kept identity. Who needs that sooner asks for it (`give_way`)."""
LINGER_OFFLINE_S = 10.0
"""The same with the peer offline, for a wrong secret must not be tried for long. A command comes sooner."""
LOOK_AGAIN_S = 0.1
REFUSE_S = 1.0


class SharedNode:
    """`serve` is to be called once; it takes the listener over. `is_kept`: the identity is on disk.

    At its end the node takes the lock of the rendezvous into `locks`, to be released with the identity.
    """

    def __init__(
        self,
        streams: PeerStreams,
        node: Node,
        rendezvous: Rendezvous,
        listener: socket.socket,
        log_relay: NodeLogRelay,
        locks: contextlib.ExitStack,
        *,
        is_kept: bool,
    ) -> None:
        listener.setblocking(False)
        self._streams = streams
        self._node = node
        self._is_kept = is_kept
        self._rendezvous = rendezvous
        self._log_relay = log_relay
        self._locks = locks
        self._socket = listener
        self._identity = socketfile.identify(rendezvous.path)
        self._listener = Listener([listener], self._serve)
        self._loop = asyncio.get_running_loop()
        self.sessions: set[CommandSession] = set()
        self._idle_since_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Serves until it has been idle for long enough, or is stopped; afterwards no command finds it."""
        self._node.subscribe(self._on_event)
        self._listener.start()
        self._plan_end()
        try:
            await self._streams.stopping.wait()
        finally:
            self._node.unsubscribe(self._on_event)
            if self._timer is not None:
                self._timer.cancel()
            if self._listener.sockets:  # stopped, not idle
                _take_lock(self._rendezvous, self._locks)
                self._remove_socket()
            await self._listener.close()

    @property
    def idle(self) -> bool:
        return not self.sessions

    def states(self) -> list[ForwardState]:
        return [state for session in self.sessions for state in session.states()]

    async def give_way(self) -> bool:
        """Ends now, so that another process can have the identity; False when a command uses this node."""
        stopping = self._streams.stopping
        while self.idle and not stopping.is_set():
            self._leave()
            if not stopping.is_set():  # a command is just coming, or starts a node of its own
                await asyncio.sleep(LOOK_AGAIN_S)
        return stopping.is_set()

    async def _serve(self, connection: socket.socket) -> None:
        session = CommandSession(connection, lambda _: self._streams, self._log_relay)
        self.sessions.add(session)
        self._plan_end()
        try:
            await session.run()
        finally:
            self.sessions.discard(session)
            if session.understood:
                self._idle_since_s = self._loop.time()
            self._plan_end()

    # -- the end

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection):
            self._plan_end()

    def _plan_end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.idle:
            self._timer = self._loop.call_at(self._idle_since_s + self._linger_s, self._leave)

    @property
    def _linger_s(self) -> float:
        if not self._streams.caller.peer.online:
            return LINGER_OFFLINE_S
        return LINGER_KEPT_S if self._is_kept else LINGER_S

    def _leave(self) -> None:
        """Ends, unless a command is just coming: one that holds the lock, or waits in the queue."""
        if self._streams.stopping.is_set():
            return
        try:
            if not self._may_leave():
                self._timer = self._loop.call_later(LOOK_AGAIN_S, self._leave)
                return
        except Exception as error:  # say, its directory was removed at the user's logout
            log.warning("commands cannot find this node any more, so it ends: %s", error)
        try:
            self._remove_socket()
        finally:
            self._streams.stopping.set()

    def _may_leave(self) -> bool:
        """Whether no command is coming; then no other node can start before `locks` are released.

        Raises NotSharedError.
        """
        with contextlib.ExitStack() as undo:
            got = undo.enter_context(self._rendezvous.lock(wait=False))
            if not got or _is_waiting(self._socket):
                return False
            self._locks.push(undo.pop_all())
        return True

    def _remove_socket(self) -> None:
        """Removes the socket: commands do not find this node any more."""
        socketfile.remove_at(self._rendezvous.path, self._identity)
        self._listener.stop_listening()


def refuse_commands(rendezvous: Rendezvous, listener: socket.socket, failure: ToxvpnError) -> None:
    """Tells the commands that wait for the node why it cannot start."""
    with listener, contextlib.ExitStack() as undo:
        with contextlib.suppress(OSError):
            identity = socketfile.identify(rendezvous.path)
            _take_lock(rendezvous, undo)
            socketfile.remove_at(rendezvous.path, identity)
        while _is_waiting(listener):
            connection, _ = listener.accept()
            with connection:
                _refuse_one(connection, failure)


def _take_lock(rendezvous: Rendezvous, undo: contextlib.ExitStack) -> None:
    """Takes the lock, unless its directory is gone, in which case no command can come."""
    with contextlib.suppress(NotSharedError):
        undo.enter_context(rendezvous.lock())


def _refuse_one(connection: socket.socket, failure: ToxvpnError) -> None:
    connection.settimeout(REFUSE_S)
    try:
        _, sent = messages.receive(connection)  # what is unread would undo what is sent
        descriptors.close(sent)
        messages.send(connection, {"ended": failure.exit_code, "text": str(failure)})
    except (OSError, BadMessageError) as error:
        log.debug("could not answer a command: %s", error)


def _is_waiting(listener: socket.socket) -> bool:
    return bool(select.select([listener], [], [], 0)[0])
