"""How often what a peer states is told: each status message may change addresses, routes and names here.

A peer may change its status message as often as it likes. The first ones are told at once; beyond that, only
the newest is, once in a while.
"""

from ..wire.ratelimit import RateLimit

TOLD_PER_S, TOLD_AT_ONCE = 1, 8


class Statuses:
    """Sans-IO: says whose status messages are to be told now."""

    def __init__(self) -> None:
        self._limits: dict[bytes, RateLimit] = {}
        self._waiting: set[bytes] = set()

    def stated(self, public_key: bytes, now: float) -> bool:
        """The peer has another status message: whether to tell it at once; else `due` names the peer."""
        limit = self._limits.setdefault(public_key, RateLimit(TOLD_PER_S, TOLD_AT_ONCE))
        told = public_key not in self._waiting and limit.take(now)
        if not told:
            self._waiting.add(public_key)
        return told

    def due(self, now: float) -> list[bytes]:
        """The peers whose newest status message is to be told now."""
        found = [public_key for public_key in self._waiting if self._limits[public_key].take(now)]
        self._waiting.difference_update(found)
        return found

    def forget(self, public_key: bytes) -> None:
        self._limits.pop(public_key, None)
        self._waiting.discard(public_key)
