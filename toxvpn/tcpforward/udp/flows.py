"""The table of flows without connections: datagrams and echo requests. Sans-IO, times are passed in.

Each owner has at most so many; when it begins one more, the one makes room that would have ended first. A
flow ends when nothing of it has passed for a while.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

UDP_IDLE_S = 120.0
"""RFC 4787 REQ-5; ..."""
DNS_IDLE_S = 30.0
"""... less is permitted where it is known that no more will come, as after the answer of a name server."""
ECHO_IDLE_S = 60.0
"""RFC 5508 REQ-2."""
DNS_PORT = 53
FEW = 2
"""Datagrams each way of a question and its answer: it may have been repeated, or be two (A and AAAA)."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    owner: Hashable
    value: T
    idle_s: float
    used_s: float


@dataclass(slots=True)
class FlowTable(Generic[K, T]):
    """At most `most_of_one` flows of each owner, of each a value."""

    most_of_one: int
    _entries: dict[K, _Entry[T]] = field(default_factory=dict)
    _of: dict[Hashable, set[K]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, flow: K) -> T | None:
        entry = self._entries.get(flow)
        return None if entry is None else entry.value

    def use(self, flow: K, now_s: float, idle_s: float | None = None) -> T | None:
        """The value of the flow, which has just been used; None if it is not there.

        `idle_s`: how long it may be idle from now on.
        """
        entry = self._entries.get(flow)
        if entry is None:
            return None
        entry.used_s = now_s
        if idle_s is not None:
            entry.idle_s = idle_s
        return entry.value

    def add(self, flow: K, owner: Hashable, value: T, idle_s: float, now_s: float) -> T | None:
        """Adds a flow that is not there; returns the value of the one that made room, if one had to."""
        own = self._of.get(owner, set())
        gone = self.remove(min(own, key=self._ends_s)) if len(own) >= self.most_of_one else None
        self._entries[flow] = _Entry(owner, value, idle_s, now_s)
        self._of.setdefault(owner, set()).add(flow)
        return gone

    def _ends_s(self, flow: K) -> float:
        entry = self._entries[flow]
        return entry.used_s + entry.idle_s

    def remove(self, flow: K) -> T | None:
        entry = self._entries.pop(flow, None)
        if entry is None:
            return None
        own = self._of[entry.owner]
        own.remove(flow)
        if not own:
            del self._of[entry.owner]
        return entry.value

    def remove_all(self, owner: Hashable) -> list[T]:
        """Removes the flows of that owner; returns their values."""
        return self._remove(list(self._of.get(owner, ())))

    def expire(self, now_s: float) -> list[T]:
        """Removes the flows that have been idle for too long; returns their values."""
        return self._remove(
            [flow for flow, each in self._entries.items() if now_s - each.used_s >= each.idle_s]
        )

    def count(self, owner: Hashable) -> int:
        return len(self._of.get(owner, ()))

    def values(self) -> Iterator[T]:
        return (entry.value for entry in self._entries.values())

    def _remove(self, flows: list[K]) -> list[T]:
        return [value for value in map(self.remove, flows) if value is not None]


def idle_s(port: int) -> float:
    """How long a UDP flow to that port may be idle."""
    return DNS_IDLE_S if port == DNS_PORT else UDP_IDLE_S


@dataclass(slots=True)
class Traffic:
    """How many datagrams have passed one flow, each way."""

    there: int = 0
    back: int = 0

    @property
    def idle_s(self) -> float:
        """How long it may be idle: not long after a question and its answer."""
        is_done = 0 < self.there <= FEW and 0 < self.back <= FEW
        return DNS_IDLE_S if is_done else UDP_IDLE_S
