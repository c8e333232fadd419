"""Waiting for a state, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

from .errors import LabError

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | None], what: str, timeout_s: float = 10.0, poll_s: float = 0.02
) -> T:
    """Call `condition` until it returns something true, and return that.

    Raises LabError naming `what` after `timeout_s`. An exception out of `condition` ends the wait.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if result := condition():
            return result
        if time.monotonic() >= deadline:
            raise LabError(f"no {what} within {timeout_s:g} s")
        time.sleep(poll_s)
