"""Subscriptions: which callbacks are called with a node's events, and with which peers' packets.

What toxcore reports during a turn is queued, and delivered in order after the turn: callbacks may then call
anything. One that fails is logged, and the others are still called.
"""

from collections import deque
from collections.abc import Callable

from .events import Event
from .peer import Peer
from .safecall import SafeCall

OnEvent = Callable[[Event], None]
OnPacket = Callable[[Peer, bytes], None]


class Subscriptions:
    """The subscriptions of one node."""

    def __init__(self) -> None:
        self._on_event: list[OnEvent] = []
        self._on_packet: dict[int, OnPacket] = {}
        self._queue: deque[Event | tuple[Peer, bytes]] = deque()
        self._flushing = False
        self._call_safely = SafeCall()

    def add(self, on_event: OnEvent) -> None:
        self._on_event.append(on_event)

    def remove(self, on_event: OnEvent) -> None:
        self._on_event.remove(on_event)

    def add_packet_id(self, packet_id: int, on_packet: OnPacket) -> None:
        self._on_packet[packet_id] = on_packet

    def queue(self, item: Event | tuple[Peer, bytes]) -> None:
        """An event, or a peer's packet with an ID that was added; delivered by `flush`."""
        self._queue.append(item)

    def flush(self) -> None:
        """Delivers what is queued, also meanwhile; does nothing when called from a callback."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._queue:
                item = self._queue.popleft()
                if isinstance(item, tuple):
                    self._call_safely(self._on_packet[item[1][0]], *item)
                else:
                    self.deliver(item)
        finally:
            self._flushing = False

    def deliver(self, event: Event) -> None:
        """Delivers at once, before what is queued."""
        for on_event in list(self._on_event):
            self._call_safely(on_event, event)
