"""Tells of peers that are gone for good: removed, or offline for so long that waiting makes no sense.

In: a node's events. Out: one call for each of them. Until then kernel TCP keeps the fast road's
streams alive over the break; then `Forwarding` resets them.
"""

import asyncio
from collections.abc import Callable

from ...tox.events import Event, PeerConnection, PeerRemoved
from ...tox.node import Node
from ...tox.peer import Peer

GONE_AFTER_S = 90.0
"""Counted from when Tox gives the peer up, 32 s after its last packet: two minutes in all."""


class Departures:
    """Listens from construction until `close`; `gone` is called once for each departure."""

    def __init__(self, node: Node, gone: Callable[[Peer], None]) -> None:
        self._node = node
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._timers: dict[bytes, asyncio.TimerHandle] = {}
        node.subscribe(self._hear)

    def close(self) -> None:
        self._node.unsubscribe(self._hear)
        for timer in self._timers.values():
            timer.cancel()

    def _hear(self, event: Event) -> None:
        if isinstance(event, PeerRemoved):
            self._stop_waiting(event.peer)
            self._gone(event.peer)
        elif isinstance(event, PeerConnection):
            if event.peer.online:
                self._stop_waiting(event.peer)
            elif event.peer.public_key not in self._timers:
                timer = self._loop.call_later(GONE_AFTER_S, self._waited, event.peer)
                self._timers[event.peer.public_key] = timer

    def _stop_waiting(self, peer: Peer) -> None:
        if timer := self._timers.pop(peer.public_key, None):
            timer.cancel()

    def _waited(self, peer: Peer) -> None:
        self._timers.pop(peer.public_key)
        self._gone(peer)
