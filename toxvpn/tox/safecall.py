"""What one part fails of is told, and keeps nobody else from being called: an error of ours, not a user's."""

import logging
from collections.abc import Callable
from typing import ParamSpec

from .loglimit import Lines

log = logging.getLogger("toxvpn.tox")

P = ParamSpec("P")


class Guard:
    """One for each owner of callbacks; what fails at every turn does not fill the log."""

    def __init__(self) -> None:
        self._lines = Lines()

    def __call__(self, call: Callable[P, object], *what: P.args, **named: P.kwargs) -> None:
        try:
            call(*what, **named)
        except Exception as failure:
            self.tell("an event could not be handled", failure)

    def tell(self, what: str, failure: BaseException | None) -> None:
        self._lines.tell(log, logging.ERROR, "%s", what, failure=failure)
