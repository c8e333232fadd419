"""Our calls to a peer on the tuntox road that wait for an answer: streams to open, pings."""

import asyncio
from collections.abc import Callable

from ...errors import PeerOfflineError
from ...wire.tuntox.events import OpenFailed, Pong
from ..road import StreamOpenError, refused
from .driver import TunnelDriver
from .stream import TunnelStream


class Calls:
    """Our calls to one peer. `add_stream` makes the stream of a tunnel that has been opened."""

    def __init__(self, driver: TunnelDriver, add_stream: Callable[[int], TunnelStream]) -> None:
        self._driver = driver
        self._add_stream = add_stream
        self._loop = asyncio.get_running_loop()
        self._opening: dict[int, asyncio.Future[TunnelStream]] = {}  # by handle
        self._pings: dict[int, asyncio.Future[float]] = {}  # by sequence number

    @property
    def waiting(self) -> bool:
        """Whether an answer is still awaited."""
        return bool(self._opening or self._pings)

    async def open(self, host: str, port: int) -> TunnelStream:
        """Raises StreamOpenError, PeerOfflineError."""
        driver = self._driver
        handle = driver.tunnels.open(host, port, driver.now())
        opening: asyncio.Future[TunnelStream] = self._loop.create_future()
        self._opening[handle] = opening
        driver.send_soon()
        try:
            return await opening
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().abort()
            elif self._opening.pop(handle, None) is not None:
                driver.tunnels.reset(handle, driver.now())
                driver.send_soon()
            raise

    async def ping(self) -> float:
        """The round trip in seconds. Waits for ever for an answer; raises PeerOfflineError."""
        driver = self._driver
        if not driver.tunnels.online:
            raise PeerOfflineError("the peer is offline")
        sequence = driver.tunnels.ping(driver.now())
        answer: asyncio.Future[float] = self._loop.create_future()
        self._pings[sequence] = answer
        driver.send_soon()
        try:
            return await answer
        finally:
            self._pings.pop(sequence, None)

    def on_opened(self, handle: int) -> None:
        opening = self._opening.pop(handle, None)
        if opening is None or opening.done():
            self._driver.tunnels.reset(handle, self._driver.now())
            return
        opening.set_result(self._add_stream(handle))

    def on_open_failed(self, event: OpenFailed) -> None:
        if (opening := self._opening.pop(event.handle, None)) and not opening.done():
            failure = StreamOpenError(event.reason, event.text) if event.text else refused(event.reason)
            opening.set_exception(failure)

    def on_pong(self, event: Pong) -> None:
        if (answer := self._pings.pop(event.sequence, None)) and not answer.done():
            answer.set_result(event.rtt_s)

    def on_offline(self) -> None:
        """Fails the pings; streams that are to open wait for the peer."""
        _fail(self._pings, "the peer went offline")

    def on_removed(self) -> None:
        _fail(self._opening, "the peer has been removed")


def _fail(
    futures: dict[int, asyncio.Future[TunnelStream]] | dict[int, asyncio.Future[float]], reason: str
) -> None:
    for future in futures.values():
        if not future.done():
            future.set_exception(PeerOfflineError(reason))
    futures.clear()
