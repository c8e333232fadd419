"""Whose friend request has been heard: toxcore tells of one request of a key, and then of no other.

So a stranger who mistyped its secret, or came in a crowd, would not be heard again until toxcore has
forgotten it for 32 others. Here is when node.py makes it forget.
"""

AGAIN_S = 20.0
"""A request comes in several copies, over as many paths, within seconds; clients repeat it after 45 s."""
MOST_HEARD = 64
"""Anybody can send requests: toxcore itself keeps 32."""


class SeenRequests:
    """Sans-IO: says whom to hear again."""

    def __init__(self) -> None:
        self._due_s: dict[bytes, float] = {}

    def note(self, public_key: bytes, now: float) -> None:
        self._due_s.pop(public_key, None)
        self._due_s[public_key] = now + AGAIN_S
        if len(self._due_s) > MOST_HEARD:
            del self._due_s[next(iter(self._due_s))]

    def due(self, now: float) -> list[bytes]:
        """Those whose time has come, once."""
        found = [public_key for public_key, due_s in self._due_s.items() if now >= due_s]
        for public_key in found:
            del self._due_s[public_key]
        return found
