"""Strangers whose request was not granted, for a person to look at: who, since when, why not.

Their messages are not kept: one may hold a secret that was mistyped by a letter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

MOST_PENDING = 32
"""Anybody who knows the Tox ID can fill this list: the newest are kept."""


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
        self._by_key: dict[bytes, PendingRequest] = {}

    def note(self, public_key: bytes, reason: str, now: float) -> None:
        known = self._by_key.pop(public_key, None)
        if known is None:
            known = PendingRequest(public_key, now, now, 0, reason)
        self._by_key[public_key] = replace(known, last=now, times=known.times + 1, reason=reason)
        if len(self._by_key) > MOST_PENDING:
            del self._by_key[next(iter(self._by_key))]

    def forget(self, public_key: bytes) -> None:
        self._by_key.pop(public_key, None)

    def __iter__(self) -> Iterator[PendingRequest]:
        """The newest first."""
        return iter(list(reversed(self._by_key.values())))
