"""The side that asks a peer for associations: one control stream, opened when it is first needed.

In: a number and a target; out: a UDP socket on our private stack, connected to the peer's end of the
association. Neighbours: listener.py has the local programs, server.py is the other side.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from ...errors import ToxvpnError
from ...tox.peer import Peer
from ...wire.addressing import overlay_ipv6
from ...wire.associations import (
    NAME,
    VERSION,
    Associate,
    Associated,
    AssociationEnded,
    Message,
)
from ...wire.jsonlines import LineFaultError
from ...wire.socks5 import ReplyCode
from ..builtin import as_socket, open_builtin
from ..caller import Caller
from ..fast.road import FastRoad
from ..road import Ending, StreamOpenError, refused
from ..spec import Target
from .control import ControlStream

OPEN_S = 15.0
"""Time for the answer to a request: the peer looks the name up for 10 s at most (target.py)."""
PAUSE_S = 2.0
"""After a failure nothing is tried for so long: datagrams may come by the thousand."""

OnEnd = Callable[[int, ReplyCode | None], None]


class LostError(ToxvpnError):
    """The control stream has ended."""


class Asker:
    """Asks the peer of `caller`. `on_end` gets the number of an association that the peer has ended, and the
    reason; None: it was lost with the control stream."""

    def __init__(self, caller: Caller, on_end: OnEnd) -> None:
        self._caller = caller
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._talk: _Talk | None = None
        self._beginning: asyncio.Task[_Talk] | None = None
        self._failure: tuple[float, ToxvpnError] | None = None

    async def close(self) -> None:
        """Ends the stream, and thereby all of its associations."""
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.gather(self._beginning, return_exceptions=True)
        if self._talk is not None:
            await self._talk.close()

    async def prepare(self) -> None:
        """Opens the control stream as soon as the peer is there, so that the first datagram need not wait.

        Raises ToxvpnError: with this peer there is no UDP.
        """
        await self._caller.wait_online(None)
        await self._current()

    async def open(self, number: int, target: Target) -> socket.socket:
        """A connected socket; the first datagrams may be of somebody else: look at their source.

        Raises ToxvpnError.
        """
        talk = await self._current()
        try:
            return await talk.open(number, target)
        except LostError:  # the peer has started anew since
            return await (await self._current()).open(number, target)

    def end(self, number: int) -> None:
        """The association is not wanted any more."""
        if self._talk is not None:
            self._talk.end(number)

    async def _current(self) -> "_Talk":
        """Raises ToxvpnError."""
        if self._talk is not None and not self._talk.is_lost:
            return self._talk
        if self._failure is not None and self._loop.time() < self._failure[0] + PAUSE_S:
            raise self._failure[1]
        if self._beginning is None:
            self._beginning = asyncio.create_task(self._begin())
            self._beginning.add_done_callback(_look_at)  # perhaps nobody waits for it any more
        return await asyncio.shield(self._beginning)

    async def _begin(self) -> "_Talk":
        try:
            road = await self._caller.fast_road()
            stream = await open_builtin(self._caller, NAME, VERSION)
            sock, ending = as_socket(stream)
            self._talk = _Talk(road, self._caller.peer, await ControlStream.over(sock), ending, self._on_end)
            return self._talk
        except ToxvpnError as failure:
            self._failure = self._loop.time(), failure
            raise
        except OSError as error:
            raise ToxvpnError(f"no stream to the peer: {error.strerror}") from None
        finally:
            self._beginning = None


def _look_at(task: "asyncio.Task[_Talk]") -> None:
    if not task.cancelled():
        task.exception()


class _Talk:
    """One control stream, and the associations that were opened on it."""

    def __init__(
        self, road: FastRoad, peer: Peer, control: ControlStream, ending: asyncio.Task[Ending], on_end: OnEnd
    ) -> None:
        self.is_lost = False
        self._road = road
        self._peer = peer
        self._control = control
        self._ending = ending
        self._on_end = on_end
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._open: set[int] = set()
        self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._control.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_S):
                await asyncio.shield(self._ending)
        self._ending.cancel()
        await asyncio.gather(self._ending, return_exceptions=True)

    async def open(self, number: int, target: Target) -> socket.socket:
        """Raises ToxvpnError, of which LostError."""
        sock = await self._road.datagram_socket()
        try:
            sock.bind((str(self._road.address), 0))
            at = await self._ask(Associate(number, target.host, target.port, sock.getsockname()[1]))
            sock.connect((str(overlay_ipv6(self._peer.public_key)), at))
        except OSError as error:
            sock.close()
            raise StreamOpenError(ReplyCode.GENERAL_FAILURE, f"no association: {error.strerror}") from None
        except BaseException:
            sock.close()
            raise
        self._open.add(number)
        return sock

    def end(self, number: int) -> None:
        if number in self._open:
            self._open.discard(number)
            self._control.send(AssociationEnded(number))

    async def _ask(self, request: Associate) -> int:
        if self.is_lost:
            raise LostError("the peer has ended the control stream")
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[request.number] = answer
        self._control.send(request)
        try:
            async with asyncio.timeout(OPEN_S):
                return await answer
        except TimeoutError:
            self._control.send(AssociationEnded(request.number))
            text = f"the peer has not answered in {OPEN_S:g} s"
            raise StreamOpenError(ReplyCode.TIMED_OUT, text) from None
        except asyncio.CancelledError:  # nobody wants it any more
            self._control.send(AssociationEnded(request.number))
            raise
        finally:
            del self._waiting[request.number]

    async def _listen(self) -> None:
        try:
            with contextlib.suppress(OSError, LineFaultError):
                async for message in self._control.messages():
                    self._on_message(message)
        finally:
            self._lose()

    def _on_message(self, message: Message) -> None:
        answer = self._waiting.get(message.number)
        match message:
            case Associated(_, at) if answer is not None and not answer.done():
                answer.set_result(at)
            case AssociationEnded(_, code) if answer is not None:
                if not answer.done():
                    answer.set_exception(refused(code))
            case AssociationEnded(number, code) if number in self._open:
                self._open.discard(number)
                self._on_end(number, code)

    def _lose(self) -> None:
        self.is_lost = True
        self._control.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(LostError("the connection to the peer was lost"))
        for number in list(self._open):
            self._open.discard(number)
            self._on_end(number, None)
