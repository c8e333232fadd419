"""The arithmetic of a speed test: from times and counts to what is told of it. Pure.

The receiver of each direction counts, so that nothing is told that did not arrive. The first moments, in
which TCP finds out how fast it may send, are left out.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..fast.segments import Segments

SCHEMA = 1
WARM_UP_S = 1.0
WARM_UP_PART = 0.25
"""What is left out at the beginning: a second, of a short test a quarter."""
LATELY_S = 1.0
"""The live figure is of the latest second."""
SHORTEST_S = 0.001
"""No rate is told of less."""
SAMPLE_S = 0.02
"""Samples are kept no closer than this."""


@dataclass(slots=True)
class Meter:
    """Takes how many bytes have come until when, by any one clock, in seconds.

    Some of it is what a peer says: what falls is left out.
    """

    _samples: list[tuple[float, int]] = field(default_factory=list)
    _last: tuple[float, int] | None = None
    _lately: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, at_s: float, total_bytes: int) -> None:
        if self._last is not None and (at_s < self._last[0] or total_bytes < self._last[1]):
            return
        self._last = at_s, total_bytes
        if not self._samples or at_s - self._samples[-1][0] >= SAMPLE_S:
            self._samples.append(self._last)
            self._lately.append(self._last)
            while at_s - self._lately[0][0] > LATELY_S and len(self._lately) > 2:
                self._lately.popleft()

    @property
    def total_bytes(self) -> int:
        return 0 if self._last is None else self._last[1]

    @property
    def seconds(self) -> float:
        """From the first byte to the last."""
        return 0.0 if self._last is None else self._last[0] - self._samples[0][0]

    @property
    def bits_per_second(self) -> float:
        """Of the whole time without its warm-up; 0 while there is too little to tell."""
        if self._last is None:
            return 0.0
        warm_s = self._samples[0][0] + min(WARM_UP_S, WARM_UP_PART * self.seconds)
        first = [each for each in self._samples if each[0] <= warm_s][-1]
        return _rate(first, self._last)

    @property
    def lately_bits_per_second(self) -> float:
        return 0.0 if self._last is None else _rate(self._lately[0], self._last)


def _rate(first: tuple[float, int], last: tuple[float, int]) -> float:
    span_s = last[0] - first[0]
    return (last[1] - first[1]) * 8 / span_s if span_s >= SHORTEST_S else 0.0


@dataclass(frozen=True, slots=True)
class Trips:
    """Round trips; `answers` is how many there were."""

    p50_s: float | None
    worst_s: float | None
    answers: int

    def document(self) -> dict[str, Any]:
        return {
            "rtt_p50_seconds": _rounded(self.p50_s),
            "rtt_worst_seconds": _rounded(self.worst_s),
            "rtt_answers": self.answers,
        }


def trips(times_s: Sequence[float]) -> Trips:
    if not times_s:
        return Trips(None, None, 0)
    ordered, middle = sorted(times_s), len(times_s) // 2
    median_s = (ordered[middle] + ordered[~middle]) / 2  # statistics would load decimal and fractions for it
    return Trips(median_s, ordered[-1], len(ordered))


@dataclass(frozen=True, slots=True)
class Direction:
    """`segments` None: not known, as on the tuntox road."""

    meter: Meter
    trips: Trips
    segments: Segments | None = None

    def document(self) -> dict[str, Any]:
        return {
            "bits_per_second": round(self.meter.bits_per_second),
            "bytes": self.meter.total_bytes,
            "seconds": round(self.meter.seconds, 3),
            **self.trips.document(),
            "tcp_segments": None if self.segments is None else self.segments.sent,
            "tcp_segments_resent": None if self.segments is None else self.segments.resent,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`path` is udp or tcp-relay, and that of the end; `address` is where the peer is, None: not known.

    `probe_loss` is 0 to 1, None: not known.
    """

    public_key: bytes
    path: str
    address: str | None
    path_changed: bool
    road: str
    road_reason: str
    idle: Trips
    down: Direction
    up: Direction
    probe_loss: float | None

    def document(self) -> dict[str, Any]:
        """The JSON document that scripts rely on (docs/speed.md)."""
        return {
            "schema": SCHEMA,
            "public_key": self.public_key.hex().upper(),
            "path": self.path,
            "address": self.address,
            "path_changed": self.path_changed,
            "road": self.road,
            "road_reason": self.road_reason,
            "idle": self.idle.document(),
            "down": self.down.document(),
            "up": self.up.document(),
            "probe_loss": self.probe_loss,
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
