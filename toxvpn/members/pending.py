"""Strangers whose request was not granted, for a person to look at: who, since when, why not.

Their messages are not kept: one may hold a secret that was mistyped by a letter. Anybody who knows the Tox ID
can fill this list with keys that ask once. A client that means it asks again every 45 s with the same key,
so those who have asked again are kept apart: a crowd of new keys does not crowd them out.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

MOST_ONCE = 1024
MOST_AGAIN = 256
"""The newest are kept, of those who asked once and of those who asked again."""
MOST_SHOWN = 32


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """Times in seconds since the epoch; `reason` is why the last request was refused."""

    public_key: bytes
    first: float
    last: float
    times: int
    reason: str

    @property
    def name(self) -> None:
        """Nobody has given it one."""


class Pending:
    """The last requests, one for each key. The clock is the caller's."""

    def __init__(self) -> None:
        self._once: dict[bytes, PendingRequest] = {}
        self._again: dict[bytes, PendingRequest] = {}

    def note(self, public_key: bytes, reason: str, now: float) -> None:
        known = self._again.pop(public_key, None) or self._once.pop(public_key, None)
        if known is None:
            self._once[public_key] = PendingRequest(public_key, now, now, 1, reason)
        else:
            self._again[public_key] = replace(known, last=now, times=known.times + 1, reason=reason)
        for requests, most in ((self._once, MOST_ONCE), (self._again, MOST_AGAIN)):
            if len(requests) > most:
                del requests[next(iter(requests))]

    def forget(self, public_key: bytes) -> None:
        self._once.pop(public_key, None)
        self._again.pop(public_key, None)

    def __iter__(self) -> Iterator[PendingRequest]:
        """Those who asked again first, and the newest of each kind first."""
        return iter([*reversed(self._again.values()), *reversed(self._once.values())])

    @property
    def shown(self) -> list[PendingRequest]:
        """As many as a person looks at."""
        return list(itertools.islice(self, MOST_SHOWN))
