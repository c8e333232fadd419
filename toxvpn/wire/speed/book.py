"""The speed tests that run on a server: who may begin one, what each may still do, and when it is over.

Sans-IO. A peer has one at a time, all peers together MOST_AT_ONCE. A test has each direction once, and ends
by itself: so a peer can have the server send for `seconds`, and to itself alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from .messages import BUSY, FULL, LEAST_S, MOST_S, Refused

MOST_AT_ONCE = 2
SPARE_S = 30.0
"""How much longer than both directions a test may take: round trips before, and slow connections."""


@dataclass(slots=True)
class SpeedTest:
    """`seconds` in each direction; times are on the caller's clock."""

    name: str
    public_key: bytes
    seconds: float
    ends_s: float
    _begun: set[str] = field(default_factory=set)

    def take(self, direction: str) -> bool:
        """Whether that direction may begin: once."""
        if direction in self._begun:
            return False
        self._begun.add(direction)
        return True


class Book:
    """`random` gives the names of tests, which nobody can guess."""

    def __init__(self, random: Callable[[], str]) -> None:
        self._random = random
        self._running: dict[bytes, SpeedTest] = {}

    def begin(self, public_key: bytes, wanted_s: float, now: float) -> SpeedTest | Refused:
        """The test runs until `end`, which is to be called at `ends_s` at the latest."""
        if public_key in self._running:
            return Refused(BUSY)
        if len(self._running) >= MOST_AT_ONCE:
            return Refused(FULL)
        seconds = min(max(wanted_s, LEAST_S), MOST_S)
        test = SpeedTest(self._random(), public_key, seconds, now + 2 * seconds + SPARE_S)
        self._running[public_key] = test
        return test

    def find(self, public_key: bytes, name: str) -> SpeedTest | None:
        """The test of that name, if it is that peer's and runs."""
        test = self._running.get(public_key)
        return test if test is not None and test.name == name else None

    def end(self, test: SpeedTest) -> None:
        """Idempotent."""
        if self._running.get(test.public_key) is test:
            del self._running[test.public_key]
