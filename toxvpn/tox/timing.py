"""When toxcore's clock runs fast: while nobody is connected yet, in short bursts; when slowly: afterwards.

toxcore spends its 9 s of connecting mostly in waits of whole seconds; a clock that runs 4 times
fast shortens them (docs/decisions/0003-fast-clock.md). Its time-outs shrink too, so a burst ends
soon after the first peer is connected or after BURST_S, and another one must wait until REST_S have
passed. What a clock has gained it gives back by running slowly, and it never gains much.
"""

FAST_RATE = 4.0
SLOW_RATE = 0.9
BURST_S = 15.0
REST_S = 60.0
EXPECT_S = 5.0
SETTLE_S = 1.0
"""The first packets to a new friend are often lost while paths are found, and repeated once per second."""
MOST_AHEAD_S = 60.0


class Pace:
    """Sans-IO: `now` in seconds comes with each call."""

    def __init__(self) -> None:
        self._ends_s: float | None = None
        self._rested_s = float("-inf")
        self._rate = 1.0
        self._rated_s = 0.0
        self._ahead_s = 0.0

    def start(self, now: float) -> None:
        """Somebody is to be reached: a burst begins, unless one runs or the last was lately."""
        if self._ends_s is None and now >= self._rested_s:
            self._ends_s = now + BURST_S
            self._rested_s = now + BURST_S + REST_S

    def expect(self, now: float) -> None:
        """Somebody has just been let in and connects now, while nobody else is connected."""
        if self._ends_s is None and self._ahead_s < MOST_AHEAD_S:
            self._ends_s = now + EXPECT_S

    def connected(self, now: float) -> None:
        """A peer is connected: normal speed from here on, but for its first packets."""
        if self._ends_s is not None:
            self._ends_s = min(self._ends_s, now + SETTLE_S)

    def alone(self) -> None:
        """We are in the network and look for nobody; the next burst need not wait."""
        self._ends_s = None
        self._rested_s = float("-inf")

    def rate(self, now: float) -> float:
        """To be asked several times a second, and to be obeyed at once."""
        self._ahead_s += (self._rate - 1) * (now - self._rated_s)
        self._rated_s = now
        if self._ends_s is not None and now >= self._ends_s:
            self._ends_s = None
        if self._ends_s is not None:
            self._rate = FAST_RATE
        else:
            self._rate = SLOW_RATE if self._ahead_s > 0 else 1.0
        return self._rate
