"""How far apart turns may be: toxcore wants 50 ms, and while nothing happens a fifth of these will do.

What comes in wakes the node anyway (sockets.py), and whatever toxcore does by time when it is neither
connecting nor sending counts in seconds.
"""

QUIET_AFTER_S = 20.0
"""Without a change of connection or a lossless packet; finding a path takes less."""
LONGEST_S = 0.25


class Rest:
    """For one node. Sans-IO: `now` in seconds comes with each call."""

    def __init__(self) -> None:
        self._stirred_s = float("-inf")

    def stir(self, now: float) -> bool:
        """Something goes on. Whether all was quiet before, so that the next turn may be too far away."""
        was_quiet = self._is_quiet(now)
        self._stirred_s = now
        return was_quiet

    def interval_s(self, wanted_s: float, now: float) -> float:
        """How long after a turn the next one is due; `wanted_s` is what toxcore says."""
        return max(wanted_s, LONGEST_S) if self._is_quiet(now) else wanted_s

    def _is_quiet(self, now: float) -> bool:
        return now - self._stirred_s >= QUIET_AFTER_S
