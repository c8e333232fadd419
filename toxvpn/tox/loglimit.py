"""Lines of the log on one account (a peer's, a listener's), which is not its own to fill.

So many at once, then one a minute, which says how many were left out. Those are there at debug level.
"""

import logging
import time
from collections.abc import Callable

from ..wire.ratelimit import RateLimit

AT_ONCE, PER_S = 10, 1 / 60


class LogLimit:
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
        """As `log.log`, if there is room for it; `failure` with its place in the program."""
        if not self._limit.take(self._now()):
            self._left_out += 1
            log.debug(text, *arguments, exc_info=failure)
        elif self._left_out:
            text += " (%d other lines left out)"
            log.log(level, text, *arguments, self._left_out, exc_info=failure)
            self._left_out = 0
        else:
            log.log(level, text, *arguments, exc_info=failure)
