"""Packets that wait to be sent to one friend: control packets first, then tunnels in turn, one packet each.

Neighbour: friend.py. A packet handed out stays the next one until it is confirmed, so a full queue in
toxcore neither loses nor reorders anything.
"""

from collections import deque
from collections.abc import Callable

from ...errors import LocalProtocolError
from . import frames
from .frames import Version
from .tunnel import Tunnel

# Answers waiting to be sent; a friend that asks for more without reading them gets none.
MAX_CONTROL_PACKETS = 1024
# Frames for unknown tunnels are answered with TCP_FIN so often, and once per tunnel.
MAX_UNKNOWN_FINS_PER_S = 20
_MAX_REMEMBERED_FINS = 1024


class Outbox:
    """`on_sent` is called for each tunnel of which a packet has just been taken.

    `packet_bytes` is the largest packet that the path carries.
    """

    def __init__(self, on_sent: Callable[[Tunnel], None]) -> None:
        self.packet_bytes = frames.MAX_PACKET_BYTES
        self._on_sent = on_sent
        self._control: deque[bytes] = deque()
        self._senders: deque[Tunnel] = deque()
        self._unconfirmed: bytes | None = None
        self._fins_sent: dict[int, None] = {}  # tunnel IDs whose frames are not answered again, oldest first
        self._fin_second = 0
        self._fins_this_second = 0

    @property
    def full(self) -> bool:
        """Whether so many control packets wait that no answer may join them."""
        return len(self._control) >= MAX_CONTROL_PACKETS

    def put(self, *control_packets: bytes) -> None:
        self._control.extend(control_packets)

    def schedule(self, tunnel: Tunnel) -> None:
        """The tunnel may have something to send."""
        if tunnel.has_work and not tunnel.scheduled:
            tunnel.scheduled = True
            self._senders.append(tunnel)

    def next_packet(self) -> bytes | None:
        if self._unconfirmed is None:
            self._unconfirmed = self._control.popleft() if self._control else self._next_of_a_tunnel()
        return self._unconfirmed

    def packet_sent(self) -> None:
        if self._unconfirmed is None:
            raise LocalProtocolError("no packet was waiting to be sent")
        self._unconfirmed = None

    def clear(self) -> None:
        self._control.clear()
        self._senders.clear()
        self._unconfirmed = None
        self._fins_sent.clear()

    def put_fin(self, version: Version, tunnel_id: int) -> None:
        """Ends a tunnel for the peer; what still comes on it is not answered."""
        self._control.append(frames.fin(version, tunnel_id))
        self._fins_sent[tunnel_id] = None
        if len(self._fins_sent) > _MAX_REMEMBERED_FINS:
            del self._fins_sent[next(iter(self._fins_sent))]

    def answer_unknown(self, version: Version, tunnel_id: int, now: float) -> None:
        """Answers a frame for an unknown tunnel with TCP_FIN: once per tunnel, and not too often."""
        if tunnel_id in self._fins_sent or self.full:
            return
        if int(now) != self._fin_second:
            self._fin_second = int(now)
            self._fins_this_second = 0
        if self._fins_this_second < MAX_UNKNOWN_FINS_PER_S:
            self._fins_this_second += 1
            self.put_fin(version, tunnel_id)

    def forget_fin(self, tunnel_id: int) -> None:
        """The ID names a new tunnel from here on."""
        self._fins_sent.pop(tunnel_id, None)

    def _next_of_a_tunnel(self) -> bytes | None:
        while self._senders:
            tunnel = self._senders.popleft()
            tunnel.scheduled = False
            if tunnel.has_work:
                packet = tunnel.next_frame(self.packet_bytes)
                self.schedule(tunnel)
                self._on_sent(tunnel)
                return packet
        return None
