"""Reports peers that are gone for good: removed, or offline for too long to wait for them.

In: a node's events. Out: one call for each of them. Until then kernel TCP keeps the fast road's
streams alive over the break; then `Roads` resets them.
"""

import asyncio
from collections.abc import Callable

from ...tox.events import Event, PeerConnection, PeerRemoved
from ...tox.node import Node
from ...tox.peer import Peer

GONE_AFTER_S = 90.0
"""Counted from when Tox gives the peer up, 32 s after its last packet: two minutes in all."""


class Departures:
    """Listens from construction until `close`; `on_departure` is called once for each departure."""

    def __init__(self, node: Node, on_departure: Callable[[Peer], None]) -> None:
        self._node = node
        self._on_departure = on_departure
        self._loop = asyncio.get_running_loop()
        self._timers: dict[bytes, asyncio.TimerHandle] = {}
        node.subscribe(self._on_event)

    def close(self) -> None:
        self._node.unsubscribe(self._on_event)
        for timer in self._timers.values():
            timer.cancel()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerRemoved):
            self._stop_waiting(event.peer)
            self._on_departure(event.peer)
        elif isinstance(event, PeerConnection):
            if event.peer.online:
                self._stop_waiting(event.peer)
            elif event.peer.public_key not in self._timers:
                timer = self._loop.call_later(GONE_AFTER_S, self._on_timeout, event.peer)
                self._timers[event.peer.public_key] = timer

    def _stop_waiting(self, peer: Peer) -> None:
        if timer := self._timers.pop(peer.public_key, None):
            timer.cancel()

    def _on_timeout(self, peer: Peer) -> None:
        self._timers.pop(peer.public_key)
        self._on_departure(peer)
