"""The node's side of one command: what it asks for, done until it ends or hangs up.

In: the command's connection, its message and descriptors. Out: streams through the peer, and word of
how they went. Whatever ends a session resets what still runs for it.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from .. import descriptors
from ..control import socketfile
from ..control.status import ForwardState
from ..daemon.client import RunningClient
from ..daemon.forwards import Destination, Forwards
from ..errors import LinkError, ToxvpnError
from ..tcpforward import pipe
from ..tcpforward.ends import End, StdioEnd
from ..tcpforward.spec import parse_target
from ..tox.danger import warn_if_exposed
from . import messages
from .messages import Message, NonsenseError
from .retell import QUIET, SPEAKER, ToSessions

log = logging.getLogger("toxvpn.share")

FIRST_WORD_S = 5.0


class Session:
    """`run` once, in a task of its own. The connection is not blocking; whoever accepted it closes it.

    `find` says through whom the request is to go; it raises NonsenseError when there is nobody for it.
    """

    _made: RunningClient
    _forwards: Forwards | None = None

    def __init__(
        self, connection: socket.socket, find: Callable[[Message], RunningClient], retelling: ToSessions
    ) -> None:
        self.level = QUIET
        self.connection = connection
        self._find = find
        self._retelling = retelling
        self._loop = asyncio.get_running_loop()
        self._descriptors: list[int] = []
        self._hung_up = False

    async def run(self) -> None:
        """Raises nothing but CancelledError."""
        if socketfile.credentials(self.connection).uid != os.geteuid():
            return
        try:
            request = await self._first_word()
            self._made = self._find(request)
            self.level = int(request["level"])
        except (NonsenseError, KeyError, TypeError, ValueError, OSError) as error:
            log.debug("a command cannot be understood: %r", error)
            descriptors.close(self._descriptors)
            return
        SPEAKER.set(self)
        self._retelling.add(self)
        warn_if_exposed()  # each command: the node, which began with nobody there, has told its own log only
        try:
            await self._until_it_hangs_up(request)
        finally:
            self._retelling.discard(self)
            descriptors.close(self._descriptors)

    @property
    def understood(self) -> bool:
        """Whether it was a command, not one that looks who is there."""
        return self.level != QUIET

    def mention(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # it does not listen, or has gone
            messages.send(self.connection, message)

    def states(self) -> list[ForwardState]:
        return [] if self._forwards is None else self._forwards.states()

    # -- the conversation

    async def _first_word(self) -> Message:
        """Raises NonsenseError, OSError (TimeoutError is one)."""
        there = asyncio.Event()
        self._loop.add_reader(self.connection, there.set)
        try:
            async with asyncio.timeout(FIRST_WORD_S):
                await there.wait()
        finally:
            self._loop.remove_reader(self.connection)
        request, self._descriptors = messages.receive(self.connection)
        if request is None:
            raise NonsenseError("it went away")
        return request

    async def _until_it_hangs_up(self, request: Message) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._loop.add_reader(self.connection, self._on_hang_up, task)
        try:
            await self._tell(await self._outcome(request))
        except asyncio.CancelledError:
            if not self._hung_up:
                self.mention(self._farewell(request))
                raise
        except OSError as error:
            log.debug("a command has gone before its end: %s", error)
        finally:
            self._loop.remove_reader(self.connection)

    def _on_hang_up(self, task: "asyncio.Task[None]") -> None:
        self._hung_up = True
        self._loop.remove_reader(self.connection)
        task.cancel()

    async def _tell(self, message: Message) -> None:
        """Raises OSError."""
        await self._loop.sock_sendall(self.connection, messages.encode(message))

    def _farewell(self, request: Message) -> Message:
        """What is told when the node ends under it."""
        if request["do"] == "listen" and self._made.run.stopping.is_set():
            return _ended(0)  # `toxvpn down`
        code = LinkError.exit_code if request["do"] == "pipe" else ToxvpnError.exit_code
        return _ended(code, "the shared node was stopped")

    # -- what is asked for

    async def _outcome(self, request: Message) -> Message:
        peer = self._made.caller.peer
        if peer.online and request["do"] != "ping":
            log.info("peer %s: %s (a node that runs already)", peer.short, peer.connection.path)
        try:
            return _ended(0, await self._do(request))
        except ToxvpnError as failure:
            return _ended(failure.exit_code, str(failure))
        except Exception as error:
            log.exception("what a command asks for cannot be done")
            return _ended(
                ToxvpnError.exit_code, f"an error of toxvpn itself: {type(error).__name__}: {error}"
            )

    async def _do(self, request: Message) -> str:
        """What is to be shown in the end. Raises ToxvpnError."""
        match request["do"]:
            case "pipe":
                await pipe.carry(self._made.caller, parse_target(request["target"]), self._take_stdio)
                return ""
            case "listen":
                await self._listen(request["listeners"])
                return ""
            case "ping":
                return await self._made.ping()
            case other:
                raise ToxvpnError(f"the shared node cannot do {other!r}")

    async def _take_stdio(self) -> End:
        reader, writer = self._descriptors
        end = StdioEnd(reader, writer)
        try:
            await self._tell({"taken": True})
        except BaseException:
            end.close(clean=False)
            raise
        return end

    async def _listen(self, listeners: list[dict[str, Any]]) -> None:
        """Until it is cancelled."""
        taken = self._forwards = Forwards(self._made.choice)
        try:
            for each in listeners:
                target = None if each["target"] is None else parse_target(each["target"])
                sockets = self._take_sockets(each["sockets"])
                taken.add(each["told"], sockets, Destination(self._made.caller, target))
            taken.start()
            await self._tell({"taken": True})
            await asyncio.Event().wait()
        finally:
            await taken.close()

    def _take_sockets(self, count: int) -> list[socket.socket]:
        return [socket.socket(fileno=self._descriptors.pop(0)) for _ in range(count)]


def _ended(code: int, text: str = "") -> Message:
    return {"ended": code, "text": text}
