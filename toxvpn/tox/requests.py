"""Friend requests of ours that must be repeated: a server may have been away, or have lost us."""

from dataclasses import dataclass

REPEAT_S = 45.0
"""As tuntox does (docs/wire-format.md §1)."""

LOST_S = 20.0
"""A peer that went away usually returns by itself; one that forgot us needs asking again."""


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
        """The peer went away: give its return some time before asking anew."""
        request = self._by_key.get(public_key)
        if request is not None:
            request.due_s = now + LOST_S

    def forget(self, public_key: bytes) -> None:
        self._by_key.pop(public_key, None)

    def due(self, now: float) -> list[tuple[bytes, bytes]]:
        """(Tox ID, message) of each request whose time has come; their next turn is set."""
        found = []
        for request in self._by_key.values():
            if now >= request.due_s:
                request.due_s = now + REPEAT_S
                found.append((request.address, request.message))
        return found
