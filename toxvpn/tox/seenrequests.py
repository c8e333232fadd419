"""Friend requests that toxcore has reported: it reports one request of a key and ignores the next ones.

So a stranger who mistyped the secret, or was refused because there were too many requests, would be ignored
until toxcore has seen 32 others. This says when node.py makes toxcore forget the request.
"""

AGAIN_S = 20.0
"""A request arrives in several copies, over several paths, within seconds; clients repeat it after 45 s."""
MOST_SEEN = 64
"""A limit, as anybody can send requests; toxcore itself remembers 32."""


class SeenRequests:
    """Sans-IO: says which requests toxcore is to forget."""

    def __init__(self) -> None:
        self._due_s: dict[bytes, float] = {}

    def note(self, public_key: bytes, now: float) -> None:
        self._due_s.pop(public_key, None)
        self._due_s[public_key] = now + AGAIN_S
        if len(self._due_s) > MOST_SEEN:
            del self._due_s[next(iter(self._due_s))]

    def due(self, now: float) -> list[bytes]:
        """The keys whose request is to be forgotten now; each is returned once."""
        found = [public_key for public_key, due_s in self._due_s.items() if now >= due_s]
        for public_key in found:
            del self._due_s[public_key]
        return found
