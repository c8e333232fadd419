"""The calling side of `toxvpn speed`: measures the path to one peer, and tells how it goes.

In: the caller, the roads, and what is known of the path. Out: a Result, and until then a document for each
moment, for a person who looks on.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from ..._native.results import Connection
from ...errors import PeerOfflineError, PeerRefusedError, ToxvpnError
from ...wire.jsonlines import LineFaultError
from ...wire.socks5 import ReplyCode
from ...wire.speed.messages import (
    BUSY,
    DOWN,
    NAME,
    UP,
    VERSION,
    Answer,
    Ask,
    Begun,
    Load,
    Message,
    Received,
    Refused,
    Sent,
    Want,
)
from ..builtin import as_socket, open_builtin
from ..caller import WAIT_FOR_PEER_S, Caller
from ..choice import NOT_OFFERED, RoadChooser
from ..fast.segments import Segments, between
from ..road import Ending, StreamOpenError
from ..spec import join_host_port
from .result import Direction, Meter, Result, Trips, trips
from .streams import LineStream

IDLE_S = 2.0
PING_INTERVAL_S = 0.1
FEWEST_PINGS = 5
"""A slow path is asked so often while idle, even if that takes longer than IDLE_S."""
ANSWER_S = 10.0
"""How long an answer may take: over a relay that is full, some seconds."""
DRAIN_S = 1.0
"""How long a stream that has been measured may take to end in an orderly way."""
TELL_S = 0.2
DIRECT_S = 15.0
"""A path over a relay becomes direct within this time, or seldom."""
STACK_S = 3.0
"""How long a peer's private stack may take that starts because it was asked for something."""

CONNECTING: Final = "connecting"
RELAYED: Final = "relayed"
"""Over a relay so far, and perhaps direct in a moment."""
IDLE: Final = "idle"
BETWEEN: Final = "between"
DONE: Final = "done"

NOT_ALLOWED = (
    "the peer does not let this machine test its speed: there, allow_speed = true in [server] or in "
    "[peers.NAME] of config.toml changes that"
)
BUSY_TEXT = "a speed test between this machine and the peer runs already; try again when it is over"
FULL_TEXT = "the peer has as many speed tests as it takes at once; try again in a minute"
NO_ANSWER = "the peer does not answer as a speed test should"

Tell = Callable[[Mapping[str, Any]], None]


class SpeedClient:
    """One test: `measure` is called once.

    `loss` gives, by public key, which part of the latest lossy probes got lost, if that is known.
    """

    def __init__(
        self, caller: Caller, roads: RoadChooser, loss: Callable[[bytes], float | None], tell: Tell
    ) -> None:
        self._caller = caller
        self._peer = caller.peer
        self._roads = roads
        self._loss = loss
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._phase: str = CONNECTING
        self._trips: dict[str, list[float]] = {}  # by the phase in which they began
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._meters = {DOWN: Meter(), UP: Meter()}
        self._sent: asyncio.Future[Sent] = self._loop.create_future()

    async def measure(self, seconds: float) -> Result:
        """`seconds` in each direction. Raises PeerOfflineError, PeerRefusedError, ToxvpnError."""
        telling = asyncio.create_task(self._keep_telling())
        try:
            return await self._measure(seconds)
        finally:
            telling.cancel()

    async def _measure(self, seconds: float) -> Result:
        await self._wait_for_path()
        path = self._peer.connection
        async with await self._open() as sock:
            control = LineStream(sock)
            begun = await self._begin(control, seconds)
            road, reason = self._roads.choice(self._peer)
            down, up = await self._with_pings(control, begun)
        if not self._peer.online:
            raise PeerOfflineError("the peer went offline during the test")
        return Result(
            public_key=self._peer.public_key,
            path=self._peer.path,
            address=self._address(),
            path_changed=self._peer.connection is not path,
            road=road,
            road_reason=reason,
            idle=self._trips_of(IDLE),
            down=down,
            up=up,
            probe_loss=self._loss(self._peer.public_key),
        )

    def _address(self) -> str | None:
        """Where the peer's last packet came from; None: it is behind a relay."""
        source = self._peer.source
        return join_host_port(*source) if source and self._peer.connection is Connection.UDP else None

    def _direction(self, name: str, sent: Segments | None) -> Direction:
        return Direction(self._meters[name], self._trips_of(name), sent)

    # -- before the test

    async def _wait_for_path(self) -> None:
        """Waits for the peer, and a moment for a direct path: most connections begin over a relay."""
        await self._caller.wait_online(WAIT_FOR_PEER_S)
        peer = self._peer
        while peer.connection is Connection.TCP and self._loop.time() - peer.changed_s < DIRECT_S:
            self._phase = RELAYED
            await asyncio.sleep(TELL_S)

    async def _open(self) -> "_Stream":
        """A stream to @speed: on the fast road also where the peer's stack starts for it."""
        stream = await self._open_once()
        if self._roads.choice(self._peer) == ("tuntox", NOT_OFFERED):
            until_s = self._loop.time() + STACK_S
            while self._loop.time() < until_s:
                await asyncio.sleep(TELL_S / 10)
                if self._roads.choice(self._peer)[0] == "fast":
                    await stream.close()
                    return await self._open_once()
        return stream

    async def _open_once(self) -> "_Stream":
        try:
            return _Stream(*as_socket(await open_builtin(self._caller, NAME, VERSION)))
        except StreamOpenError as failure:
            if failure.code is ReplyCode.NOT_ALLOWED:
                raise PeerRefusedError(NOT_ALLOWED) from None
            raise

    async def _begin(self, control: LineStream, seconds: float) -> Begun:
        try:
            async with asyncio.timeout(ANSWER_S):
                await control.send(Want(seconds))
                answer = await control.receive()
        except (OSError, EOFError, LineFaultError) as failure:
            raise ToxvpnError(f"{NO_ANSWER}: {_words(failure)}") from None
        if isinstance(answer, Refused):
            raise PeerRefusedError(BUSY_TEXT if answer.why == BUSY else FULL_TEXT)
        if not isinstance(answer, Begun):
            raise ToxvpnError(NO_ANSWER)
        return replace(answer, seconds=min(answer.seconds, seconds))

    # -- the control stream

    async def _with_pings(self, control: LineStream, begun: Begun) -> tuple[Direction, Direction]:
        """Both directions; meanwhile round trips are measured. Raises ToxvpnError when a stream broke."""
        phases = asyncio.create_task(self._phases(begun))
        background = [asyncio.create_task(work(control)) for work in (self._read, self._ping)]
        try:
            await asyncio.wait({phases, *background}, return_when=asyncio.FIRST_COMPLETED)
            broken = next((task for task in background if task.done()), None)
            if broken is None or phases.done():
                return await phases
            raise ToxvpnError(f"the speed test broke: {_words(broken.exception())}")
        except (OSError, EOFError) as failure:
            raise ToxvpnError(f"the speed test broke: {_words(failure)}") from None
        finally:
            for task in (phases, *background):
                task.cancel()
            await asyncio.gather(phases, *background, return_exceptions=True)

    async def _read(self, control: LineStream) -> None:
        while True:
            self._on_message(await control.receive())

    def _on_message(self, message: Message) -> None:
        match message:
            case Answer(number) if (waiting := self._answers.pop(number, None)) and not waiting.done():
                waiting.set_result(None)
            case Received(total_bytes, at_s):
                self._meters[UP].add(at_s, total_bytes)
            case Sent() if not self._sent.done():
                self._sent.set_result(message)

    async def _ping(self, control: LineStream) -> None:
        """One after the other: a path that is slow to answer is not asked for more than it answers."""
        for number in itertools.count():
            phase, began_s = self._phase, self._loop.time()
            answer = self._answers[number] = self._loop.create_future()
            await control.send(Ask(number))
            await answer
            took_s = self._loop.time() - began_s
            self._trips.setdefault(phase, []).append(took_s)
            await asyncio.sleep(PING_INTERVAL_S - took_s)

    def _trips_of(self, phase: str) -> Trips:
        return trips(self._trips.get(phase, ()))

    # -- the phases

    async def _phases(self, begun: Begun) -> tuple[Direction, Direction]:
        await self._idle()
        received = await self._receive(begun)
        sent = await self._send(begun)
        if self._answers:  # a question that was asked under load counts as well
            await asyncio.wait(self._answers.values(), timeout=ANSWER_S)
        return self._direction(DOWN, received), self._direction(UP, sent)

    async def _idle(self) -> None:
        self._phase = IDLE
        began_s = self._loop.time()
        while (passed_s := self._loop.time() - began_s) < ANSWER_S:
            if passed_s >= IDLE_S and len(self._trips.get(IDLE, ())) >= FEWEST_PINGS:
                return
            await asyncio.sleep(PING_INTERVAL_S)

    async def _receive(self, begun: Begun) -> Segments | None:
        meter = self._meters[DOWN]
        async with self._load(DOWN, begun) as stream:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S) as limit:

                    def on_bytes(count: int) -> None:
                        now = self._loop.time()
                        if meter.total_bytes == 0:
                            limit.reschedule(now + begun.seconds)
                        meter.add(now, meter.total_bytes + count)

                    await stream.receive_load(on_bytes)
            meter.add(self._loop.time(), meter.total_bytes)
            self._phase = BETWEEN
            await _drain(stream)
        if meter.total_bytes == 0:
            raise ToxvpnError(f"nothing has come from the peer in {ANSWER_S:g} s")
        with contextlib.suppress(TimeoutError):
            return await self._counted(DRAIN_S)
        return None

    async def _counted(self, deadline_s: float) -> Segments | None:
        """What the peer says of the segments that it sent."""
        told = await asyncio.wait_for(asyncio.shield(self._sent), deadline_s)
        return None if told.segments is None or told.resent is None else Segments(told.segments, told.resent)

    async def _send(self, begun: Begun) -> Segments | None:
        fast = self._roads.fast
        before = {} if fast is None else fast.segments(self._peer)
        async with self._load(UP, begun) as stream:
            await stream.send_load(begun.seconds)
            after = {} if fast is None else fast.segments(self._peer)
            self._phase = BETWEEN
            stream.sock.shutdown(socket.SHUT_WR)
            await _drain(stream)
        if self._meters[UP].total_bytes == 0:
            raise ToxvpnError(f"nothing of what was sent in {begun.seconds:g} s has reached the peer")
        return between(before, after) if after else None

    @contextlib.asynccontextmanager
    async def _load(self, direction: str, begun: Begun) -> AsyncIterator[LineStream]:
        async with await self._open_once() as sock:
            stream = LineStream(sock)
            await stream.send(Load(direction, begun.test))
            self._phase = direction
            yield stream

    # -- for a person

    async def _keep_telling(self) -> None:
        while True:
            meter = self._meters.get(self._phase)
            rate = {} if meter is None else {"bits_per_second": round(meter.lately_bits_per_second)}
            if self._phase != BETWEEN:
                self._tell({"phase": self._phase, **rate})
            await asyncio.sleep(TELL_S)


class _Stream:
    """A stream as a socket, for an `async with`, at whose end what has not ended is reset."""

    def __init__(self, sock: socket.socket, ending: asyncio.Task[Ending]) -> None:
        self._sock = sock
        self._ending = ending

    async def __aenter__(self) -> socket.socket:
        return self._sock

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Idempotent."""
        self._sock.close()
        await asyncio.wait({self._ending}, timeout=DRAIN_S)
        self._ending.cancel()
        await asyncio.wait({self._ending})


async def _drain(stream: LineStream) -> None:
    """Waits for the end of the stream, but not for long."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(DRAIN_S):
            await stream.receive_load(lambda _: None)


def _words(failure: BaseException | None) -> str:
    if isinstance(failure, TimeoutError):
        return f"no answer in {ANSWER_S:g} s"
    return (failure.strerror if isinstance(failure, OSError) else None) or str(failure)
