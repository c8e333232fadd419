"""One open tunnel: bytes from the local side wait here for their turn; received bytes are accounted for.

Neighbour: open_tunnels.py, which owns the tunnels of one friend.

Flow control and half-close exist only between two toxvpn peers, and each direction of each tunnel
learns of it in band, so that a status message that comes late cannot make the two sides disagree:

1. Every direction starts with a credit of 256 KiB, counted from the tunnel's first byte. A TCP_CREDIT
   from the receiver adds to it.
2. A side that knows its peer speaks toxvpn *extends* its end of the tunnel: it sends a TCP_CREDIT
   before anything else, keeps within its own credit from then on, and ends its direction with
   TCP_HALF_CLOSE. A TCP_FIN from it means a reset.
3. A side that receives TCP_CREDIT extends its end too, if it had not. It may have sent more than its
   credit by then; if so it is silent until it has credit again.
4. A receiver holds its peer to the credit only after a TCP_CREDIT from that peer, which tells that the
   peer's end is extended; data sent before it came before it, since the road keeps the order.
5. An end that is not extended knows no credit, and its TCP_FIN closes both directions: tuntox.

No deadlock: a side that waits for credit has extended its end, so it has sent a TCP_CREDIT, which makes the
other end extend and grant. The window that the other end grants may vary, but it is never smaller than the
initial one: then half of it at least is owed as soon as everything has been passed on.
"""

from ...errors import LocalProtocolError
from . import frames
from .frames import FrameDrop, Version

# Part of the protocol: what may be sent before the first TCP_CREDIT has come.
INITIAL_WINDOW_BYTES = 256 * 1024
# Ours to choose. The tuntox road peaks at about 5 MB/s with round trips up to 200 ms: 1 MB in flight.
WINDOW_BYTES = 1024 * 1024
# A local reader is paused above the one and resumed below the other, which is 13 ms at 5 MB/s:
# time enough to wake it. (Larger would only add delay to what a user types during a download.)
HIGH_WATER_BYTES = 256 * 1024
LOW_WATER_BYTES = 64 * 1024

_MAX_CREDIT = 0xFFFFFFFF


class Tunnel:
    """Sans-IO state of one tunnel; frames leave through `next_frame`, one at a time."""

    __slots__ = (
        "_consumed",
        "_credit",
        "_granted",
        "_paused",
        "_queue",
        "_received",
        "_sent",
        "closed",
        "counted_extra_bytes",
        "extended",
        "handle",
        "idle_deadline_s",
        "inbound",
        "local_eof",
        "local_eof_sent",
        "peer_extended",
        "remote_eof",
        "scheduled",
        "tunnel_id",
        "version",
    )

    def __init__(self, handle: int, tunnel_id: int, version: Version, *, inbound: bool) -> None:
        self.handle = handle
        self.tunnel_id = tunnel_id
        self.version = version
        self.inbound = inbound  # opened by the peer
        self.closed = False
        self.scheduled = False  # waits in the owner's round of senders
        self.extended = False  # our end, rule 2
        self.peer_extended = False  # the peer's end, rule 4
        self.local_eof = False
        self.local_eof_sent = False
        self.remote_eof = False
        self.idle_deadline_s: float | None = None
        self.counted_extra_bytes = 0  # in the owner's sum
        self._queue = bytearray()
        self._paused = False
        self._sent = 0
        self._credit = INITIAL_WINDOW_BYTES
        self._received = 0
        self._consumed = 0
        self._granted = INITIAL_WINDOW_BYTES

    # -- from the local side to the peer

    @property
    def queued_bytes(self) -> int:
        return len(self._queue)

    def enqueue(self, data: bytes | bytearray | memoryview) -> bool:
        """Takes stream bytes; False when the caller should pause until `resumed()`."""
        self._queue += data
        self._paused = self._paused or len(self._queue) >= HIGH_WATER_BYTES
        return not self._paused

    def resumed(self) -> bool:
        """Whether a pause ends now; True once per pause."""
        if self._paused and len(self._queue) <= LOW_WATER_BYTES:
            self._paused = False
            return True
        return False

    @property
    def has_work(self) -> bool:
        """Whether there is a frame to send now."""
        if self.closed:
            return False
        if self._queue:
            return not self.extended or self._sent < self._credit
        return self.extended and self.local_eof and not self.local_eof_sent

    @property
    def all_sent(self) -> bool:
        """Whether the local side has ended and all of it is sent, to a peer that knows no half-close."""
        return self.local_eof and not self.extended and not self._queue

    def next_frame(self, packet_bytes: int = frames.MAX_PACKET_BYTES) -> bytes:
        """The next packet, of at most so many bytes: 8 of header and stream bytes, or the half-close."""
        if not self._queue:
            self.local_eof_sent = True
            return frames.half_close(self.version, self.tunnel_id)
        size = packet_bytes - frames.HEADER_BYTES
        if self.extended:
            size = min(size, self._credit - self._sent)
        payload = self._queue[:size]
        del self._queue[:size]
        self._sent += len(payload)
        return frames.data(self.version, self.tunnel_id, payload)

    def add_credit(self, granted_bytes: int) -> None:
        """A TCP_CREDIT came."""
        self._credit += granted_bytes

    # -- from the peer to the local side

    @property
    def unconsumed_bytes(self) -> int:
        """Bytes that the local side has been handed and has not passed on yet."""
        return self._received - self._consumed

    def receive(self, size_bytes: int) -> FrameDrop | None:
        """Accounts for stream bytes from the peer; a reason, and nothing taken, if it must not send them."""
        if self.remote_eof:
            return FrameDrop.DATA_AFTER_END
        if self.peer_extended and self._received + size_bytes > self._granted:
            return FrameDrop.CREDIT_EXCEEDED
        self._received += size_bytes
        return None

    def consume(self, size_bytes: int) -> None:
        """The local side has passed on so many bytes.

        Raises LocalProtocolError if there were fewer.
        """
        if not 0 <= size_bytes <= self.unconsumed_bytes:
            raise LocalProtocolError(f"{size_bytes} bytes consumed of {self.unconsumed_bytes}")
        self._consumed += size_bytes

    @property
    def extra_bytes(self) -> int:
        """Bytes that may wait here beyond the initial window: granted, and not passed on yet."""
        return max(0, self._granted - self._consumed - INITIAL_WINDOW_BYTES)

    def credit_due(self, window_bytes: int = WINDOW_BYTES) -> bool:
        """Whether half the window has been consumed: often enough for the peer, rare on the road."""
        return self.extended and not self.remote_eof and self._owed(window_bytes) >= window_bytes // 2

    def grant(self, window_bytes: int = WINDOW_BYTES) -> list[bytes]:
        """The TCP_CREDIT packets that open the window fully again (several only after many gigabytes).

        One at least, if of 0 bytes: it tells that our end is extended.
        """
        packets: list[bytes] = []
        while self._owed(window_bytes) or not packets:
            owed = min(self._owed(window_bytes), _MAX_CREDIT)
            self._granted += owed
            packets.append(frames.credit(self.version, self.tunnel_id, owed))
        return packets

    def _owed(self, window_bytes: int) -> int:
        return max(0, self._consumed + window_bytes - self._granted)
