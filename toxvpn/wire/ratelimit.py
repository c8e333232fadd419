"""A token bucket: so many at once, then so many per second."""


class RateLimit:
    """Sans-IO; starts full."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._filled_s = float("-inf")

    def take(self, now: float) -> bool:
        """Whether one more is allowed at `now` (seconds; when it goes back, nothing is added)."""
        passed_s = max(0.0, now - self._filled_s)
        self._filled_s = now
        self._tokens = min(self._burst, self._tokens + passed_s * self._per_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
