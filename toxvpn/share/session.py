"""The node's side of one command: does what it asks for, until that ends or the connection is closed.

In: the command's connection, its request and descriptors. Out: streams to the peer, and the outcome. The end
of a session resets the streams that still run for it.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from .. import descriptors
from ..control import socketfile
from ..errors import LinkError, PeerRefusedError, ToxvpnError
from ..tcpforward import pipe
from ..tcpforward.builtin import as_socket, detach, open_builtin
from ..tcpforward.caller import Caller
from ..tcpforward.ends import End, StdioEnd
from ..tcpforward.forwards import Destination, Forwards, ForwardState
from ..tcpforward.remote.forwards import RemoteForwards, Wanted
from ..tcpforward.remote.spec import RemoteForward, RemoteListen
from ..tcpforward.road import Ending, StreamOpenError
from ..tcpforward.spec import Transport, parse_target
from ..tox.advisories import warn_if_exposed
from ..wire.socks5 import ReplyCode
from . import messages
from .logrelay import CURRENT_SESSION, QUIET, LogRelay
from .messages import BadMessageError, Message
from .streams import PeerStreams

log = logging.getLogger("toxvpn.share")

REQUEST_S = 5.0
LISTENING = ("listen", "listen-there")
"""The requests that last until their command ends."""


class CommandSession:
    """One command's session; call `run` once, in a task of its own.

    The connection is non-blocking, and closed by the caller.

    `find` gives the streams that a request is to use, or raises BadMessageError when there are none.
    """

    _streams: PeerStreams
    _forwards: Forwards | None = None
    _remotes: RemoteForwards | None = None

    def __init__(
        self, connection: socket.socket, find: Callable[[Message], PeerStreams], log_relay: LogRelay
    ) -> None:
        self.level = QUIET
        self.connection = connection
        self._find = find
        self._log_relay = log_relay
        self._loop = asyncio.get_running_loop()
        self._descriptors: list[int] = []
        self._hung_up = False

    async def run(self) -> None:
        """Raises nothing but CancelledError."""
        if socketfile.credentials(self.connection).uid not in (0, os.geteuid()):
            return
        try:
            request = await self._receive_request()
            self._streams = self._find(request)
            self.level = int(request["level"])
        except (BadMessageError, KeyError, TypeError, ValueError, OSError) as error:
            log.debug("cannot serve a command: %r", error)
            descriptors.close(self._descriptors)
            return
        CURRENT_SESSION.set(self)
        self._log_relay.add(self)
        warn_if_exposed()  # to each command: at the start of the node there was none to warn
        try:
            await self._serve(request)
        finally:
            self._log_relay.discard(self)
            descriptors.close(self._descriptors)

    @property
    def understood(self) -> bool:
        """Whether the command has sent a request, rather than only looked whether a node runs."""
        return self.level != QUIET

    def try_send(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # it does not read, or is gone
            messages.send(self.connection, message)

    def states(self) -> list[ForwardState]:
        there = [each for each in (self._forwards, self._remotes) if each is not None]
        return [state for each in there for state in each.states()]

    # -- messages

    async def _receive_request(self) -> Message:
        """Raises BadMessageError, OSError (TimeoutError is one)."""
        there = asyncio.Event()
        self._loop.add_reader(self.connection, there.set)
        try:
            async with asyncio.timeout(REQUEST_S):
                await there.wait()
        finally:
            self._loop.remove_reader(self.connection)
        request, self._descriptors = messages.receive(self.connection)
        if request is None:
            raise BadMessageError("the command sent no request")
        return request

    async def _serve(self, request: Message) -> None:
        """Does what is requested, until that is done or the command closes the connection."""
        task = asyncio.current_task()
        assert task is not None
        self._loop.add_reader(self.connection, self._on_hang_up, task)
        try:
            await self._send(await self._outcome(request))
        except asyncio.CancelledError:
            if not self._hung_up:
                self.try_send(self._outcome_of_stopping(request))
                raise
        except OSError as error:
            log.debug("a command ended before its request: %s", error)
        finally:
            self._loop.remove_reader(self.connection)

    def _on_hang_up(self, task: "asyncio.Task[None]") -> None:
        self._hung_up = True
        self._loop.remove_reader(self.connection)
        task.cancel()

    async def _send(self, message: Message) -> None:
        """Raises OSError."""
        await self._loop.sock_sendall(self.connection, messages.encode(message))

    def _outcome_of_stopping(self, request: Message) -> Message:
        """The outcome to send when the node ends before the request is done."""
        if request["do"] in LISTENING and self._streams.stopping.is_set():
            return _ended(0)  # `toxvpn down`
        code = LinkError.exit_code if request["do"] == "pipe" else ToxvpnError.exit_code
        return _ended(code, "the shared node was stopped")

    # -- the request

    async def _outcome(self, request: Message) -> Message:
        peer = self._streams.caller.peer
        if peer.online and request["do"] != "ping":
            log.info("peer %s: %s (a node that runs already)", peer.named, peer.path)
        try:
            return _ended(0, await self._do(request))
        except ToxvpnError as failure:
            return _ended(failure.exit_code, str(failure))
        except Exception as error:
            log.exception("a request of a command failed")
            return _ended(
                ToxvpnError.exit_code, f"an error of toxvpn itself: {type(error).__name__}: {error}"
            )

    async def _do(self, request: Message) -> str:
        """Returns the text that the command is to show. Raises ToxvpnError."""
        match request["do"]:
            case "pipe":
                await pipe.carry(self._streams.caller, parse_target(request["target"]), self._take_stdio)
                return ""
            case do if do in LISTENING:
                await self._listen(request)
                return ""
            case "builtin":
                await self._hand_over(str(request["name"]), int(request["version"]))
                return ""
            case "ping":
                return await self._streams.ping()
            case "speed":
                await self._test_speed(request["seconds"])
                return ""
            case other:
                raise ToxvpnError(f"the shared node does not know the request {other!r}")

    async def _test_speed(self, seconds: float) -> None:
        result = await self._streams.speed(seconds, lambda told: self.try_send({"speed": told}))
        await self._send({"speed": result})

    async def _hand_over(self, name: str, version: int) -> None:
        """Gives the command a stream to a built-in target, and carries it. Raises ToxvpnError."""
        try:
            stream = await open_builtin(self._streams.caller, name, version)
        except StreamOpenError as failure:
            refused = failure.code is ReplyCode.NOT_ALLOWED
            raise (PeerRefusedError if refused else ToxvpnError)(str(failure)) from None
        if (own := detach(stream)) is not None:
            with own:
                messages.send(self.connection, {"stream": True}, [own.fileno()])
            await asyncio.Event().wait()  # until the command ends
        sock, ending = as_socket(stream)
        with sock:
            messages.send(self.connection, {"stream": True}, [sock.fileno()])
        if await ending is not Ending.CLEAN:
            raise LinkError("the connection to the peer was reset")

    async def _take_stdio(self) -> End:
        reader, writer = self._descriptors
        end = StdioEnd(reader, writer)
        try:
            await self._send({"taken": True})
        except BaseException:
            end.close(clean=False)
            raise
        return end

    async def _listen(self, request: Message) -> None:
        """Accepts connections until it is cancelled. Raises ToxvpnError when the peer will not listen."""
        taken = self._forwards = Forwards(self._streams.choice)
        asked = self._remotes = RemoteForwards(self._streams.builtins, self._streams.choice, self._print)
        try:
            for each in request["listeners"]:
                target = None if each["target"] is None else parse_target(each["target"])
                sockets = self._take_sockets(each["sockets"])
                taken.add(each["told"], sockets, Destination(self._streams.caller, target))
            taken.start()
            await self._send({"taken": True})
            asked.start(self._wanted(request.get("remotes", [])), keep_trying=request.get("again", False))
            await asked.until_refused()
        finally:
            await asked.close()
            await taken.close()

    def _wanted(self, remotes: list[dict[str, Any]]) -> dict[Wanted, Caller]:
        return {(None, _remote_forward(each)): self._streams.caller for each in remotes}

    def _print(self, line: str) -> None:
        self.try_send({"print": line})

    def _take_sockets(self, count: int) -> list[socket.socket]:
        return [socket.socket(fileno=self._descriptors.pop(0)) for _ in range(count)]


def _remote_forward(sent: dict[str, Any]) -> RemoteForward:
    addresses = tuple(map(ip_address, sent["addresses"]))
    listen = RemoteListen(addresses, sent["port"], Transport(sent["transport"]), sent["path"])
    return RemoteForward(listen, parse_target(sent["target"]))


def _ended(code: int, text: str = "") -> Message:
    return {"ended": code, "text": text}
