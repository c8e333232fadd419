"""Tells repairs of the network from a fight with another program that keeps undoing them. Sans-IO."""

from ...wire.ratelimit import RateLimit

REPAIRS_AT_ONCE, REPAIRS_PER_S = 20, 1 / 10
"""More repairs than these are a fight."""
PAUSE_S, LONGEST_PAUSE_S = 300.0, 3600.0


class Fight:
    """Allows repairs, and makes a pause when they do not last: of PAUSE_S, and twice as long each next time.

    A time of peace as long as the last pause begins anew.
    """

    def __init__(self) -> None:
        self._repairs = RateLimit(REPAIRS_PER_S, REPAIRS_AT_ONCE)
        self._pause_s = PAUSE_S
        self._until_s = float("-inf")

    def allows(self, now_s: float) -> bool:
        """Whether to repair at `now_s`. The first refusal begins a pause: `left_s`."""
        if now_s < self._until_s:
            return False
        if self._repairs.take(now_s):
            return True
        again = now_s < self._until_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S) if again else PAUSE_S
        self._until_s = now_s + self._pause_s
        return False

    def left_s(self, now_s: float) -> float:
        """How long the pause still lasts; 0 when there is none."""
        return max(0.0, self._until_s - now_s)
