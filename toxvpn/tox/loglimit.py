"""A limit for the log lines that one peer or listener can cause, so that it cannot fill the log.

A burst is logged, then one line a minute that says how many were left out. Those are logged at debug level.
"""

import logging
import time
from collections.abc import Callable

from ..wire.ratelimit import RateLimit

AT_ONCE, PER_S = 10, 1 / 60


class LogLimit:
    """One for each cause; `at_once` is the size of the burst."""

    def __init__(self, at_once: int = AT_ONCE, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = RateLimit(PER_S, at_once)
        self._now = now
        self._left_out = 0

    def log(
        self,
        log: logging.Logger,
        level: int,
        text: str,
        *arguments: object,
        failure: BaseException | None = None,
    ) -> None:
        """Logs as `log.log` within the limit; `failure` is logged with its traceback."""
        if not self._limit.take(self._now()):
            self._left_out += 1
            log.debug(text, *arguments, exc_info=failure)
        elif self._left_out:
            text += " (%d other lines left out)"
            log.log(level, text, *arguments, self._left_out, exc_info=failure)
            self._left_out = 0
        else:
            log.log(level, text, *arguments, exc_info=failure)
