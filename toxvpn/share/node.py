"""The shared node: a process that is there for every command of its user to one server.

In: a listening socket, made by the command that started it, and its options, from a pipe. It ends LINGER_S
after the last command, sooner when the peer is not there to be waited for, and by SIGTERM at any time.
Whatever goes wrong on the way to its end ends it too: nobody would find it to stop it.
"""

import asyncio
import contextlib
import logging
import os
import pickle
import select
import socket
import sys
from functools import partial

from .. import descriptors, linux
from ..config.options import ClientOptions
from ..control import socketfile
from ..control.status import ForwardState
from ..daemon.client import RunningClient, running_client
from ..errors import ToxvpnError
from ..process.needs import needs
from ..process.run import run
from ..tcpforward.listen import Listener
from ..tox.events import Event, PeerConnection
from . import messages
from .log import keep_log
from .meeting import Meeting, NotSharedError
from .messages import NonsenseError
from .retell import Retelling
from .session import Session

log = logging.getLogger("toxvpn.share")

LINGER_S = 600.0
"""How long it stays connected with nobody using it."""
LINGER_KEPT_S = 60.0
"""With a kept identity, which others may want: `toxvpn up`, `toxvpn peer add`."""
LINGER_OFFLINE_S = 10.0
"""And with the peer away: a wrong secret must not be tried for minutes. The first command comes within it."""
LOOK_AGAIN_S = 0.1
REFUSE_S = 1.0
PROCESS_NAME = "toxvpn-shared"  # for ps and top, at most 15 bytes


def main(descriptor: int) -> int:
    """The process; its exit code. `descriptor` is the listener."""
    linux.set_process_name(PROCESS_NAME)
    meeting, options = pickle.load(sys.stdin.buffer)  # from the command that started us, which is our own
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    listener = socket.socket(fileno=descriptor)
    retelling = Retelling(keep_log(options.directory))
    try:
        return run(
            partial(share, meeting=meeting, listener=listener, retelling=retelling), options, needs(options)
        )
    except Exception:
        log.exception("the shared node failed")
        return ToxvpnError.exit_code


async def share(
    options: ClientOptions, meeting: Meeting, listener: socket.socket, retelling: Retelling
) -> None:
    log.info("a node for commands to peer %s starts", str(options.server)[:8])
    with contextlib.ExitStack() as parting:  # nobody starts another one before the identity is let go
        try:
            async with running_client(options) as made:
                node = SharedNode(made, meeting, listener, retelling, parting)
                async with made.controlled(node.states):
                    made.run.node.start()
                    await node.serve()
        except ToxvpnError as failure:
            log.error("%s", failure)
            refuse(meeting, listener, failure)
    log.info("it ends")


class SharedNode:
    """`serve` once; it takes the listener over. The lock of the meeting is held from then to `parting`."""

    def __init__(
        self,
        made: RunningClient,
        meeting: Meeting,
        listener: socket.socket,
        retelling: Retelling,
        parting: contextlib.ExitStack,
    ) -> None:
        listener.setblocking(False)
        self._made = made
        self._meeting = meeting
        self._retelling = retelling
        self._parting = parting
        self._socket = listener
        self._identity = socketfile.identify(meeting.path)
        self._listener = Listener([listener], self._serve)
        self._loop = asyncio.get_running_loop()
        self.sessions: set[Session] = set()
        self._idle_since_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Until it has been idle for long enough, or is told to stop; then nobody finds it any more."""
        node = self._made.run.node
        node.subscribe(self._hear)
        self._listener.start()
        self._plan_end()
        try:
            await self._made.run.stopping.wait()
        finally:
            node.unsubscribe(self._hear)
            if self._timer is not None:
                self._timer.cancel()
            if self._listener.sockets:  # told to stop, not left
                _hold(self._meeting, self._parting)
                self._withdraw()
            await self._listener.close()

    @property
    def idle(self) -> bool:
        return not self.sessions

    def states(self) -> list[ForwardState]:
        return [state for session in self.sessions for state in session.states()]

    async def _serve(self, connection: socket.socket) -> None:
        session = Session(connection, lambda _: self._made, self._retelling)
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

    def _hear(self, event: Event) -> None:
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
        if not self._made.caller.peer.online:
            return LINGER_OFFLINE_S
        return LINGER_S if self._made.places is None else LINGER_KEPT_S

    def _leave(self) -> None:
        """Unless somebody is just coming: who holds the lock, or is in the queue."""
        try:
            if not self._may_leave():
                self._timer = self._loop.call_later(LOOK_AGAIN_S, self._leave)
                return
        except Exception as error:  # its directory is gone, say, as at the user's logout: nobody can come
            log.warning("the place where commands find this node is lost, so it ends: %s", error)
        try:
            self._withdraw()
        finally:
            self._made.run.stopping.set()

    def _may_leave(self) -> bool:
        """If so, nobody can start another node before `parting`. Raises NotSharedError."""
        with contextlib.ExitStack() as undo:
            got = undo.enter_context(self._meeting.lock(wait=False))
            if not got or _is_waiting(self._socket):
                return False
            self._parting.push(undo.pop_all())
        return True

    def _withdraw(self) -> None:
        """Who comes now finds nobody."""
        socketfile.remove_at(self._meeting.path, self._identity)
        self._listener.stop_listening()


def refuse(meeting: Meeting, listener: socket.socket, failure: ToxvpnError) -> None:
    """The node cannot be: tells why to who waits for it."""
    with listener, contextlib.ExitStack() as undo:
        with contextlib.suppress(OSError):
            identity = socketfile.identify(meeting.path)
            _hold(meeting, undo)
            socketfile.remove_at(meeting.path, identity)
        while _is_waiting(listener):
            connection, _ = listener.accept()
            with connection:
                _refuse_one(connection, failure)


def _hold(meeting: Meeting, undo: contextlib.ExitStack) -> None:
    """The lock, while there is one: with its directory gone, nobody comes there either."""
    with contextlib.suppress(NotSharedError):
        undo.enter_context(meeting.lock())


def _refuse_one(connection: socket.socket, failure: ToxvpnError) -> None:
    connection.settimeout(REFUSE_S)
    try:
        _, sent = messages.receive(connection)  # what is unread would undo what is sent
        descriptors.close(sent)
        messages.send(connection, {"ended": failure.exit_code, "text": str(failure)})
    except (OSError, NonsenseError) as error:
        log.debug("a command was not told: %s", error)


def _is_waiting(listener: socket.socket) -> bool:
    return bool(select.select([listener], [], [], 0)[0])
