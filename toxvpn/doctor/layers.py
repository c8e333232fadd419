"""One look after the other, timed, until a layer fails: observations in, findings out."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import ToxvpnError
from .observations import Finding, Layer, Observation, State

Seen = TypeVar("Seen", bound=Observation)

LOOK_AGAIN_S = 0.05


class Stopped(Exception):
    """A layer failed: there is no point in looking at those above it."""


class Walk:
    """`tell` hears of every finding as soon as it is made."""

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self.findings: list[Finding] = []
        self._tell = tell

    async def look(self, layer: Layer, work: Coroutine[Any, Any, Seen]) -> Seen:
        """What `work` saw; its ToxvpnError is a finding too. Raises Stopped when the layer fails."""
        began = time.monotonic()
        try:
            seen = await work
        except ToxvpnError as error:
            finding = Finding(layer=layer, state=State.FAILED, detail=str(error), exit_code=error.exit_code)
            self._note(finding, time.monotonic() - began)
            raise Stopped from error
        return self.add(seen, time.monotonic() - began)

    def add(self, seen: Seen, seconds: float = 0.0) -> Seen:
        """Something seen, or what follows from it. Raises Stopped when the layer fails."""
        finding = seen.finding()
        self._note(finding, seconds)
        if finding.state is State.FAILED:
            raise Stopped
        return seen

    def _note(self, finding: Finding, seconds: float) -> None:
        finding = replace(finding, seconds=seconds)
        self.findings.append(finding)
        self._tell(finding)


async def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it holds within that time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(LOOK_AGAIN_S)
    return condition()
