"""The open tunnels with one friend: data both ways, credit, half-close, and how they end. Sans-IO.

The base of `FriendTunnels` (friend.py), which opens them and hands in the frames; tunnel.py has the rules
of credit and half-close for one tunnel. Source: docs/wire-format.md §1 and §3.
"""

from collections import Counter, deque

from ...errors import LocalProtocolError
from . import frames
from .events import Closed, Data, Event, HalfClosed, Reset, ResetReason, Writable
from .frames import Frame, FrameDrop
from .outbox import Outbox
from .table import TunnelTable
from .tunnel import INITIAL_WINDOW_BYTES, WINDOW_BYTES, Tunnel

MAX_INBOUND_TUNNELS = 256
"""Tunnels and unanswered requests together that a friend may have with us as server: enough for a busy
browser, and small beside the 1024 descriptors that a process may usually have."""
MAX_EXTRA_BYTES = 32 * 1024 * 1024
"""By how much the windows of a friend's tunnels may be larger than the initial one, all together: forty of
them are full. What is granted counts, since it cannot be taken back."""
MAX_BUFFERED_BYTES = 4 * 1024 * 1024
"""Bytes that may wait for the local side of a tunnel whose peer knows no flow control: several seconds at
the road's speed. Then the tunnel is reset."""
MAX_FRIEND_BUFFERED_BYTES = MAX_INBOUND_TUNNELS * INITIAL_WINDOW_BYTES + MAX_EXTRA_BYTES
"""The same for all tunnels of a friend: the most that a friend can send that heeds its credit. Then the
fullest tunnel is reset."""
EOF_IDLE_S = 10.0
"""A tuntox peer knows no half-close: TCP_FIN ends both directions. So when a local side that called has
ended its direction, the tunnel stays open for an answer until nothing has moved for this long. An answer
that begins later is lost; a local side that is gone altogether holds its slot this long. A target that
ends its stream has given its answer: that is the end of the tunnel, as with a tuntox server."""


class OpenTunnels:
    """A friend's open tunnels, and the packets and events that leave."""

    def __init__(self, *, gives_even_ids: bool) -> None:
        self.drops: Counter[FrameDrop] = Counter()
        self._speaks_toxvpn: bool | None = None
        self._tunnels = TunnelTable(gives_even_ids=gives_even_ids)
        self._outbox = Outbox(self._on_sent)
        self._events: deque[Event] = deque()

    # -- from the local side

    def send(self, handle: int, data: bytes | bytearray | memoryview) -> bool:
        """Stream bytes for the peer, all of which are taken; False asks to pause until Writable.

        Raises LocalProtocolError if the tunnel is not open or `send_eof` was called.
        """
        tunnel = self._sendable(handle)
        writable = tunnel.enqueue(data)
        self._outbox.schedule(tunnel)
        return writable

    def send_eof(self, handle: int, now: float) -> None:
        """The local side sends no more (it may still receive).

        Raises LocalProtocolError as `send` does.
        """
        tunnel = self._sendable(handle)
        tunnel.local_eof = True
        if not tunnel.extended:
            self._tunnels.linger(tunnel, now + EOF_IDLE_S)
        self._outbox.schedule(tunnel)
        self._end_if_complete(tunnel)

    def consumed(self, handle: int, size_bytes: int) -> None:
        """Counts received bytes that were passed on to the local side; harmless after the tunnel's end.

        Raises LocalProtocolError for more bytes than were received.
        """
        tunnel = self._tunnels.by_handle(handle)
        if tunnel is None:
            return
        tunnel.consume(size_bytes)
        self._tunnels.unconsumed_bytes -= size_bytes
        self._tunnels.recount(tunnel)
        if tunnel.credit_due(self._window_bytes(tunnel)):
            self._grant(tunnel)

    # -- from the friend

    def _on_data(self, frame: Frame, tunnel: Tunnel | None, now: float) -> None:
        if tunnel is None:
            self._on_unknown(frame, now)
            return
        if not frame.payload:
            return
        fault = tunnel.receive(len(frame.payload))
        if fault is not None:
            self._break(tunnel, ResetReason.PROTOCOL_ERROR, fault)
            return
        self._tunnels.unconsumed_bytes += len(frame.payload)
        if tunnel.idle_deadline_s is not None:
            self._tunnels.linger(tunnel, now + EOF_IDLE_S)
        self._events.append(Data(tunnel.handle, frame.payload))
        self._bound_buffers(tunnel)

    def _on_fin(self, tunnel: Tunnel | None) -> None:
        if tunnel is None:  # not answered: two sides that do not know it would never stop
            self.drops[FrameDrop.UNKNOWN_TUNNEL] += 1
            return
        self._tunnels.remove(tunnel)
        if tunnel.peer_extended:
            self._events.append(Reset(tunnel.handle, ResetReason.PEER_RESET))
        else:
            self._events.append(Closed(tunnel.handle, tunnel.queued_bytes))

    def _on_credit(self, frame: Frame, tunnel: Tunnel | None) -> None:
        granted = frames.read_credit(frame)
        if isinstance(granted, FrameDrop):
            self.drops[granted] += 1
        elif tunnel is None:  # crosses the end of a tunnel, needs no answer
            self.drops[FrameDrop.UNKNOWN_TUNNEL] += 1
        else:
            tunnel.peer_extended = True
            tunnel.add_credit(granted)
            self._extend(tunnel)
            self._outbox.schedule(tunnel)

    def _on_half_close(self, frame: Frame, tunnel: Tunnel | None, now: float) -> None:
        if tunnel is None:
            self._on_unknown(frame, now)
            return
        if tunnel.remote_eof:
            self.drops[FrameDrop.DATA_AFTER_END] += 1
            return
        tunnel.peer_extended = tunnel.remote_eof = True
        self._extend(tunnel)
        self._events.append(HalfClosed(tunnel.handle))
        self._end_if_complete(tunnel)

    def _on_unknown(self, frame: Frame, now: float) -> None:
        self.drops[FrameDrop.UNKNOWN_TUNNEL] += 1
        self._outbox.answer_unknown(frame.version, frame.connid, now)

    # -- credit and buffers

    def _add(self, tunnel: Tunnel) -> None:
        self._tunnels.add(tunnel)
        if self._speaks_toxvpn:
            self._extend(tunnel)

    def _extend(self, tunnel: Tunnel) -> None:
        """Our end of the tunnel takes part in credit and half-close from here on (tunnel.py)."""
        if tunnel.extended:
            return
        tunnel.extended = True
        self._tunnels.stay(tunnel)
        self._grant(tunnel)
        self._outbox.schedule(tunnel)

    def _grant(self, tunnel: Tunnel) -> None:
        self._outbox.put(*tunnel.grant(self._window_bytes(tunnel)))
        self._tunnels.recount(tunnel)

    def _window_bytes(self, tunnel: Tunnel) -> int:
        """The window that the tunnel may have: less while the friend's others hold much."""
        free = MAX_EXTRA_BYTES - self._tunnels.extra_bytes + tunnel.counted_extra_bytes
        return min(INITIAL_WINDOW_BYTES + max(0, free), WINDOW_BYTES)

    def _bound_buffers(self, tunnel: Tunnel) -> None:
        """The local side may not take for long what the peer has sent."""
        if not tunnel.peer_extended and tunnel.unconsumed_bytes > MAX_BUFFERED_BYTES:
            self._break(tunnel, ResetReason.BUFFER_FULL, FrameDrop.BUFFER_FULL)
        elif self._tunnels.unconsumed_bytes > MAX_FRIEND_BUFFERED_BYTES:
            fullest = self._tunnels.fullest()
            self._break(fullest, ResetReason.BUFFER_FULL, FrameDrop.BUFFER_FULL)

    def _break(self, tunnel: Tunnel, reason: ResetReason, drop: FrameDrop) -> None:
        self.drops[drop] += 1
        self._tunnels.remove(tunnel)
        self._outbox.put_fin(tunnel.version, tunnel.tunnel_id)
        self._events.append(Reset(tunnel.handle, reason))

    # -- the end

    def _reset_all(self, reason: ResetReason) -> None:
        self._outbox.clear()
        for tunnel in self._tunnels:
            self._tunnels.remove(tunnel)
            self._events.append(Reset(tunnel.handle, reason))

    def _end_lingering(self, tunnel: Tunnel, now: float) -> None:
        if tunnel.queued_bytes:  # the road is slow, not idle
            self._tunnels.linger(tunnel, now + EOF_IDLE_S)
        else:
            self._end_for_tuntox(tunnel)

    def _end_if_complete(self, tunnel: Tunnel) -> None:
        if tunnel.remote_eof and tunnel.local_eof_sent:
            self._tunnels.remove(tunnel)
            self._events.append(Closed(tunnel.handle, 0))
        elif self._speaks_toxvpn is False and tunnel.inbound and tunnel.all_sent:
            self._end_for_tuntox(tunnel)

    def _end_for_tuntox(self, tunnel: Tunnel) -> None:
        self._tunnels.remove(tunnel)
        self._outbox.put_fin(tunnel.version, tunnel.tunnel_id)
        self._events.append(Closed(tunnel.handle, 0))

    def _sendable(self, handle: int) -> Tunnel:
        tunnel = self._tunnels.by_handle(handle)
        if tunnel is None or tunnel.local_eof:
            raise LocalProtocolError(f"tunnel {handle} does not take data: it is not open or was ended")
        return tunnel

    def _on_sent(self, tunnel: Tunnel) -> None:
        """A packet of the tunnel has just gone out."""
        if tunnel.resumed():
            self._events.append(Writable(tunnel.handle))
        self._end_if_complete(tunnel)
