"""What happens to a node, for the program: each change once, and the newest where the program is slow."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from .peer import Path, Peer


@dataclass(frozen=True, slots=True)
class NetworkEvent:
    """This node's own connection to the Tox network changed: `path` is "none", "tcp-relay" or "udp"."""

    path: Path

    @property
    def online(self) -> bool:
        """Whether the node is in the network."""
        return self.path != "none"


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """A peer came, went, or changed its path: "none", "tcp-relay" or "udp" (direct)."""

    peer: Peer
    path: Path

    @property
    def online(self) -> bool:
        """Whether the peer is connected."""
        return self.path != "none"


Event = NetworkEvent | PeerEvent


class Events(AsyncIterator[Event]):
    """Those from its making on, until the node ends. Of a peer that changed twice meanwhile, the last one."""

    def __init__(self) -> None:
        self._new: dict[Peer | None, Event] = {}
        self._some = asyncio.Event()
        self._ended = False

    def add(self, event: Event) -> None:
        self._new[event.peer if isinstance(event, PeerEvent) else None] = event
        self._some.set()

    def end(self) -> None:
        self._ended = True
        self._some.set()

    async def __anext__(self) -> Event:
        while not self._new:
            if self._ended:
                raise StopAsyncIteration
            self._some.clear()
            await self._some.wait()
        return self._new.pop(next(iter(self._new)))
