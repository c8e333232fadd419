"""The table of flows without connections: datagrams and echo requests. Sans-IO, times are passed in.

Each friend has at most so many; when it begins one more, its longest idle one makes room. A flow ends when
nothing of it has passed for a while.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ...wire.answers import FlowEnds

UDP_IDLE_S = 120.0
"""RFC 4787 REQ-5; ..."""
DNS_IDLE_S = 30.0
"""... less is permitted for a well-known port."""
ECHO_IDLE_S = 60.0
"""RFC 5508 REQ-2."""
DNS_PORT = 53

T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    owner: Hashable
    value: T
    idle_s: float
    used_s: float


@dataclass(slots=True)
class FlowTable(Generic[T]):
    """At most `most_of_one` flows of each owner, of each a value."""

    most_of_one: int
    _entries: dict[FlowEnds, _Entry[T]] = field(default_factory=dict)
    _of: dict[Hashable, dict[FlowEnds, None]] = field(default_factory=dict)  # the longest idle first

    def __len__(self) -> int:
        return len(self._entries)

    def use(self, flow: FlowEnds, now_s: float) -> T | None:
        """The value of the flow, which has just been used; None if it is not there."""
        entry = self._entries.get(flow)
        if entry is None:
            return None
        entry.used_s = now_s
        own = self._of[entry.owner]
        own[flow] = own.pop(flow)
        return entry.value

    def add(self, flow: FlowEnds, owner: Hashable, value: T, idle_s: float, now_s: float) -> T | None:
        """Adds a flow that is not there; returns the value of the one that made room, if one had to."""
        own = self._of.setdefault(owner, {})
        gone = self.remove(next(iter(own))) if len(own) >= self.most_of_one else None
        self._entries[flow] = _Entry(owner, value, idle_s, now_s)
        self._of.setdefault(owner, {})[flow] = None
        return gone

    def remove(self, flow: FlowEnds) -> T | None:
        entry = self._entries.pop(flow, None)
        if entry is None:
            return None
        own = self._of[entry.owner]
        del own[flow]
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

    def _remove(self, flows: list[FlowEnds]) -> list[T]:
        return [value for value in map(self.remove, flows) if value is not None]


def idle_s(port: int) -> float:
    """How long a UDP flow to that port may be idle."""
    return DNS_IDLE_S if port == DNS_PORT else UDP_IDLE_S
