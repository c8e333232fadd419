"""The calling side of `-R`: asks the peer to listen, as long as it is wanted, and connects to the target.

In: what was typed. Out: a control stream to the peer's `@listen`, asked for again whenever it has ended (the
peer's restart, a long absence), and a built-in target of ours that leads this one peer to this one target.
The serving side is server.py.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...errors import PeerOfflineError, ToxvpnError
from ...tox.events import Event, PeerConnection
from ...tox.loglimit import LogLimit
from ...tox.peer import Peer
from ...wire.ip import UDP
from ...wire.jsonlines import LineFaultError
from ...wire.remotelisten import (
    NAME,
    VERSION,
    ListenGrant,
    ListenProtocol,
    ListenRefused,
    ListenRequest,
    passage,
)
from ...wire.socks5 import ReplyCode
from ..builtin import Builtins, Passage, as_socket, open_builtin
from ..caller import Caller
from ..choice import RoadChoice
from ..ends import End, socket_end
from ..forwards import ForwardState
from ..lookup import alone
from ..road import StreamOpenError
from ..rules import EVERYTHING
from ..target import Address, TargetRefusedError, allowed_addresses, connect_target
from ..unix.paths import from_host
from ..unix.target import connect_path
from .control import Control
from .refusals import explain
from .spec import RemoteForward, RemoteListen

log = logging.getLogger("toxvpn")

ANSWER_S = 15.0
"""For the peer to listen, or say that it does not."""
SURE_S = 60.0
"""Between two questions whether the peer still knows of us; it is asked when it has come back, too."""
PONG_S = 15.0
AGAIN_S, LONGEST_S = 1.0, 30.0
"""Between two tries; twice as long after each that failed."""


NO = (ReplyCode.NOT_ALLOWED, ReplyCode.HOST_UNREACHABLE)
"""What a program answers that has no `-R`."""


class NotListeningError(ToxvpnError):
    """The peer does not listen for us. `is_final`: it has said no, and will say so again."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class RemoteForwarding:
    """One `-R`, from `run` to its end. `tell` gets the line about a port that the peer has chosen."""

    def __init__(
        self,
        caller: Caller,
        builtins: Builtins,
        choice: Callable[[Peer], RoadChoice],
        wanted: RemoteForward,
        tell: Callable[[str], None],
        peer_name: str | None = None,
    ) -> None:
        self._caller = caller
        self._builtins = builtins
        self._choice = choice
        self._wanted = wanted
        self._tell = tell
        self._peer_name = peer_name or f"peer {caller.peer.named}"
        self._token = secrets.token_hex(16)
        self._chosen_port = 0  # by the peer, where that is its choice
        self._listens: RemoteListen | None = None
        self._problem = "the peer has not answered yet"
        self._streams: set[asyncio.Task[Any]] = set()
        self._ended = False
        self._peer_is_back = asyncio.Event()
        self._log_limit = LogLimit()

    @property
    def state(self) -> ForwardState:
        road, why = self._choice(self._caller.peer)
        return ForwardState(
            listen=f"{self._peer_name}: {self._listens or self._wanted.listen}",
            target=str(self._wanted.target),
            road=road,
            why=why,
            streams=len(self._streams),
            remote="there",
            problem=None if self._listens else self._problem,
        )

    async def run(self, *, keep_trying: bool) -> None:
        """Until cancelled. Raises ToxvpnError when the first answer is no, unless it is to keep trying."""
        server = self._caller.peer.public_key
        way = Passage(
            VERSION, lambda key: key == server, "it is for another peer", self._connect, self._addresses
        )
        if not self._caller.peer.online:
            log.info("waiting for %s, which is to listen on %s", self._peer_name, self._wanted.listen)
        with contextlib.ExitStack() as undo:
            undo.callback(self._end)
            undo.callback(self._builtins.offer(passage(self._token), way))
            self._caller.node.subscribe(self._on_event)
            undo.callback(self._caller.node.unsubscribe, self._on_event)
            wait_s = AGAIN_S
            while True:
                try:
                    await self._listen()
                    wait_s, keep_trying = AGAIN_S, True
                except PeerOfflineError as failure:
                    self._on_failure(str(failure))
                except NotListeningError as failure:
                    if failure.is_final and not keep_trying:
                        raise
                    self._on_failure(str(failure))
                    wait_s = min(2 * wait_s, LONGEST_S)
                await asyncio.sleep(wait_s)

    async def _listen(self) -> None:
        """Returns when the peer listens no more. Raises PeerOfflineError, NotListeningError."""
        try:
            sock, ending = as_socket(await open_builtin(self._caller, NAME, VERSION))
        except StreamOpenError as failure:
            raise self._not_listening(str(failure), is_final=failure.code in NO) from None
        try:
            with Control(sock) as control:
                self._on_listening(await self._ask(control))
                await self._until_end(control)
        except (LineFaultError, OSError) as failure:
            raise self._not_listening(str(failure) or "no answer") from None
        finally:
            self._listens = None
            ending.cancel()
        self._on_failure("the peer listens no more; asking again")

    async def _ask(self, control: Control) -> ListenGrant:
        """Raises NotListeningError, LineFaultError, OSError."""
        listen = replace(self._wanted.listen, port=self._wanted.listen.port or self._chosen_port)
        protocol = ListenProtocol(listen.transport)
        control.send(ListenRequest(listen.addresses, listen.port, self._token, protocol, listen.path))
        async with asyncio.timeout(ANSWER_S):
            answer = await control.receive()
        match answer:
            case ListenGrant():
                return answer
            case ListenRefused(code):
                self._chosen_port = 0
                raise NotListeningError(explain(code, self._peer_name, listen), is_final=True)
        raise self._not_listening("its log says why")

    def _not_listening(self, reason: str, *, is_final: bool = False) -> NotListeningError:
        text = f"{self._peer_name} does not listen on {self._wanted.listen}: {reason}"
        return NotListeningError(text, is_final=is_final)

    async def _until_end(self, control: Control) -> None:
        """Raises LineFaultError, OSError."""
        sure = asyncio.create_task(self._make_sure(control))
        try:
            await control.until_end()
        finally:
            sure.cancel()

    async def _make_sure(self, control: Control) -> None:
        """Ends the stream when the peer is there and does not answer on it: then it knows it no more."""
        while True:
            self._peer_is_back.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SURE_S):
                    await self._peer_is_back.wait()
            answered = await control.is_answered(PONG_S)
            if not answered and self._caller.peer.online and not self._peer_is_back.is_set():
                control.end()
                return

    def _on_listening(self, answer: ListenGrant) -> None:
        """Tells a person, once for each port."""
        self._listens = replace(self._wanted.listen, addresses=answer.addresses, port=answer.port)
        target = self._wanted.target
        log.info("listening: %s of %s -> %s", self._listens, self._peer_name, target)
        if self._wanted.listen.port == 0 and answer.port != self._chosen_port:
            self._chosen_port = answer.port
            self._tell(f"allocated port {answer.port} for remote forward to {target}")

    def _on_failure(self, reason: str) -> None:
        self._problem = reason
        self._log_limit.log(log, logging.WARNING, "%s of %s: %s", self._wanted, self._peer_name, reason)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection) and event.peer is self._caller.peer and event.peer.online:
            self._peer_is_back.set()

    # -- a connection from the peer

    async def _connect(self) -> End:
        """Called by the task that then carries the stream to its end. Raises TargetRefusedError."""
        target = self._wanted.target
        if target.is_path:
            sock = await connect_path(from_host(target.host))
        else:
            sock = await connect_target(target.host, target.port, EVERYTHING)
        if self._ended:
            sock.close()
            raise TargetRefusedError(ReplyCode.HOST_UNREACHABLE, f"{target}: it is not forwarded any more")
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        return socket_end(sock)

    async def _addresses(self) -> list[Address]:
        """Raises TargetRefusedError."""
        target = self._wanted.target
        return await allowed_addresses(target.host, target.port, EVERYTHING, alone(), UDP)

    def _end(self) -> None:
        """Resets the streams that run."""
        self._ended = True
        for task in list(self._streams):
            task.cancel()
