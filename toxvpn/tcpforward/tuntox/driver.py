"""Drives the `FriendTunnels` of one peer: packets between them and the node, their timer, their events.

Packets go out until toxcore refuses one; `SendRetries` says when to go on.
"""

import asyncio
from collections.abc import Callable

from ..._native.results import SendResult
from ...tox.node import Node
from ...tox.peer import Peer
from ...tox.safecall import SafeCall
from ...tox.timing import ClockSteps
from ...wire.tuntox.events import Event
from ...wire.tuntox.friend import FriendTunnels
from ...wire.tuntox.tail import Tail
from .retries import SendRetries


class TunnelDriver:
    """Whoever calls a method of `tunnels` calls `send_soon` afterwards."""

    def __init__(
        self, node: Node, peer: Peer, retries: SendRetries, on_event: Callable[[Event], None]
    ) -> None:
        self.tunnels = FriendTunnels(node.tox.public_key, peer.public_key)
        self.tunnels.resize(peer.packet_bytes)
        self.steps = ClockSteps()
        self._tail = Tail()
        self._node = node
        self._peer = peer
        self._retries = retries
        self._on_event = on_event
        self._guarded = SafeCall()
        self._loop = asyncio.get_running_loop()
        self._send_planned = False
        self._asking = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s: float | None = None

    def now(self) -> float:
        return self._loop.time()

    def receive(self, packet: bytes) -> None:
        """Takes a lossless packet from the peer."""
        self._tail.received(self.now())
        self.tunnels.receive_packet(packet, self.now())
        self.send_soon()

    def send_soon(self) -> None:
        """Sends after the loop's present round, so that what belongs together leaves in one batch."""
        if not self._send_planned:
            self._send_planned = True
            self._loop.call_soon(self._planned_send)

    def _planned_send(self) -> None:
        self._send_planned = False
        if self._node.closed:
            return
        if self._retries.is_blocked(self):
            self._report_events()
            self._set_timer()
        else:
            self.send()

    def send(self) -> int:
        """Reports events, hands packets to toxcore until it refuses one, sets the timer; how many it took."""
        sent = 0
        blocked = True  # also after a failure, so that it is tried again
        self._report_events()
        self._node.tox.cork()
        try:
            while (packet := self.tunnels.next_packet()) is not None:
                if self._node.send_lossless(self._peer, packet) is not SendResult.SENT:
                    blocked = self._peer.online  # else it has just left
                    break
                sent += 1
                self.tunnels.packet_sent()
                self._report_events()
            else:
                blocked = False
        finally:
            self._node.tox.uncork()
            self._retries.set_blocked(self, blocked)
            if sent and not self._asking:
                self._tail.sent(self.now())
            self._set_timer()
        return sent

    def retry(self) -> None:
        """Sends after a step of the node's clock, in which toxcore may have become ready for packets."""
        self.steps.stepped(self.send(), self.now())

    def _ask_for_the_tail(self) -> None:
        """The peer, or its answer, tells its toxcore that something is missing."""
        if not self.tunnels.online:  # unlike the peer itself, which is told first
            self._tail.forget()
        elif not self._retries.is_blocked(self):
            self.tunnels.ping(self.now())
            self._asking = True
            self.send()
            self._asking = False

    def _report_events(self) -> None:
        while (event := self.tunnels.next_event()) is not None:
            self._guarded(self._on_event, event)

    def _set_timer(self) -> None:
        times_s = self.tunnels.next_timer(), self._tail.next_s
        due_s = min((time_s for time_s in times_s if time_s is not None), default=None)
        if due_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = due_s
        self._timer = None if due_s is None else self._loop.call_at(due_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = self._timer_s = None
        if self._node.closed:
            return
        if self._tail.due(self.now()):
            self._ask_for_the_tail()
        self.send_soon()
        self.tunnels.handle_timer(self.now())
