"""When toxcore's clock runs fast: while nobody is connected yet, in short bursts.

toxcore spends its 9 s of connecting mostly in waits of whole seconds; a clock that runs 4 times
fast shortens them (docs/decisions/0003-fast-clock.md). Its time-outs shrink too, so a burst ends
at the first connected peer or after BURST_S, and another one must wait until REST_S have passed.
"""

FAST_RATE = 4.0
BURST_S = 15.0
REST_S = 60.0


class Pace:
    """Sans-IO: `now` in seconds comes with each call."""

    def __init__(self) -> None:
        self._ends_s: float | None = None
        self._rested_s = float("-inf")

    def start(self, now: float) -> None:
        """Somebody is to be reached: a burst begins, unless one runs or the last was lately."""
        if self._ends_s is None and now >= self._rested_s:
            self._ends_s = now + BURST_S
            self._rested_s = now + BURST_S + REST_S

    def connected(self) -> None:
        """A peer is connected: normal speed from here on."""
        self._ends_s = None

    def alone(self) -> None:
        """We are in the network and look for nobody; the next burst need not wait."""
        self._ends_s = None
        self._rested_s = float("-inf")

    def rate(self, now: float) -> float:
        if self._ends_s is not None and now >= self._ends_s:
            self._ends_s = None
        return FAST_RATE if self._ends_s is not None else 1.0
