"""Checks one layer after the other, with the time that each takes, until one fails."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import ToxvpnError
from .findings import Finding, Layer, State
from .observations import Observation

Seen = TypeVar("Seen", bound=Observation)

POLL_S = 0.05


class LayerFailed(Exception):
    """A layer failed, so those above it are not looked at."""


class Layers:
    """The findings so far; `on_finding` gets each of them at once."""

    def __init__(self, on_finding: Callable[[Finding], None]) -> None:
        self.findings: list[Finding] = []
        self._on_finding = on_finding

    async def check(self, layer: Layer, work: Coroutine[Any, Any, Seen]) -> Seen:
        """Returns what `work` saw; its ToxvpnError is a finding too. Raises LayerFailed."""
        began = time.monotonic()
        try:
            seen = await work
        except ToxvpnError as error:
            finding = Finding(layer=layer, state=State.FAILED, detail=str(error), exit_code=error.exit_code)
            self._add(finding, time.monotonic() - began)
            raise LayerFailed from error
        return self.add(seen, time.monotonic() - began)

    def add(self, seen: Seen, seconds: float = 0.0) -> Seen:
        """Adds the finding of an observation. Raises LayerFailed."""
        finding = seen.finding()
        self._add(finding, seconds)
        if finding.state is State.FAILED:
            raise LayerFailed
        return seen

    def _add(self, finding: Finding, seconds: float) -> None:
        finding = replace(finding, seconds=seconds)
        self.findings.append(finding)
        self._on_finding(finding)


async def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Returns whether the condition came true within that time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(POLL_S)
    return condition()
