"""Calls callbacks so that one that raises is logged, with its traceback, and others are still called."""

import logging
from collections.abc import Callable
from typing import ParamSpec

from .loglimit import LogLimit

log = logging.getLogger("toxvpn.tox")

P = ParamSpec("P")


class SafeCall:
    """One for each owner of callbacks. A callback that fails every time does not fill the log."""

    def __init__(self) -> None:
        self._log_limit = LogLimit()

    def __call__(self, call: Callable[P, object], *what: P.args, **named: P.kwargs) -> None:
        try:
            call(*what, **named)
        except Exception as failure:
            self.log_failure("an event could not be handled", failure)

    def log_failure(self, what: str, failure: BaseException | None) -> None:
        self._log_limit.log(log, logging.ERROR, "%s", what, failure=failure)
