"""Pending requests: strangers whose request was refused, for a person to decide on.

Their messages are not kept: one may hold a secret with a typing error. Anybody who knows the Tox ID can fill
this list with keys that ask once. A real client asks again every 45 s with the same key, so keys that have
asked again are kept apart, where a flood of new keys does not displace them.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

MOST_ONCE = 1024
MOST_AGAIN = 256
"""Limits of the keys that asked once and of those that asked again; the newest are kept."""
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
        """Always None: a stranger has no name here."""


class Pending:
    """The latest request of each key. The clock is the caller's."""

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
        """First the keys that asked again, newest first, then those that asked once, newest first."""
        return iter([*reversed(self._again.values()), *reversed(self._once.values())])

    @property
    def shown(self) -> list[PendingRequest]:
        """The first MOST_SHOWN."""
        return list(itertools.islice(self, MOST_SHOWN))
