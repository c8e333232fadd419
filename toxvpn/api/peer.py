"""A peer, as the program sees it: one object for each public key, as long as the program keeps it."""

from collections.abc import Awaitable, Callable
from typing import Literal

from ..tox.peer import Peer as ToxPeer

Path = Literal["none", "tcp-relay", "udp"]


class Peer:
    """Another machine. `Node.peer` gives one, and `writer.get_extra_info("peer")` on the serving side."""

    __slots__ = ("__weakref__", "_find", "_until_online", "key")

    def __init__(
        self,
        public_key: bytes,
        find: Callable[[bytes], ToxPeer | None],
        until_online: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self.key = public_key.hex().upper()
        """Its public key, 64 hexadecimal digits. Nobody else can have it."""
        self._find = find
        self._until_online = until_online

    @property
    def path(self) -> Path:
        """How it is connected now: "udp" is direct, "tcp-relay" through a relay, "none" not at all."""
        peer = self._find(bytes.fromhex(self.key))
        return "none" if peer is None else peer.connection.path

    @property
    def online(self) -> bool:
        """Whether it is connected now."""
        return self.path != "none"

    async def connected(self) -> None:
        """Returns once the peer is connected, at once if it is. Waits for ever: see asyncio.timeout.

        Raises ClosedError when the node ends meanwhile.
        """
        await self._until_online(bytes.fromhex(self.key))

    def __repr__(self) -> str:
        return f"<Peer {self.key[:8]} {self.path}>"
