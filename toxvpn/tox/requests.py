"""Our own friend requests, which are repeated: a server may be offline, or have lost its record of us."""

from dataclasses import dataclass

REPEAT_S = 45.0
"""The same period as tuntox's (docs/wire-format.md §1)."""

LOST_S = 20.0
"""A peer that went offline usually returns by itself; one that has forgotten us must be asked again."""


@dataclass(slots=True)
class _Request:
    address: bytes
    message: bytes
    due_s: float


class FriendRequests:
    """Sans-IO: says which requests to send again."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, _Request] = {}

    def sent(self, public_key: bytes, address: bytes, message: bytes, now: float) -> None:
        self._by_key[public_key] = _Request(address, message, now + REPEAT_S)

    def lost(self, public_key: bytes, now: float) -> None:
        """The peer went offline: repeats the request if it has not returned after LOST_S."""
        request = self._by_key.get(public_key)
        if request is not None:
            request.due_s = now + LOST_S

    def forget(self, public_key: bytes) -> None:
        self._by_key.pop(public_key, None)

    def due(self, now: float) -> list[tuple[bytes, bytes]]:
        """(Tox ID, message) of each request that is due; the next one is due REPEAT_S later."""
        found = []
        for request in self._by_key.values():
            if now >= request.due_s:
                request.due_s = now + REPEAT_S
                found.append((request.address, request.message))
        return found
