"""Notices that this machine has slept, or that this process was stopped. Sans-IO."""

SHORTEST_NAP_S = 5.0
"""Between two ticks, which are a quarter of a second apart; no machine is that busy."""


class Naps:
    """`now` is a clock that goes on while the machine sleeps (CLOCK_BOOTTIME), in seconds."""

    def __init__(self, now: float) -> None:
        self._ticked_s = now

    def tick(self, now: float) -> float:
        """How long it slept until now, in seconds; 0 if it did not."""
        passed_s, self._ticked_s = now - self._ticked_s, now
        return passed_s if passed_s >= SHORTEST_NAP_S else 0.0
