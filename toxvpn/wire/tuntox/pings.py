"""PINGs: numbered on the way out, timed when their PONG comes back.

Neighbour: friend.py, which sends them for round trips (`toxvpn -p`), to learn which version a tuntox
peer speaks, and as a barrier behind v1 requests. Source: docs/wire-format.md §1.
"""

import struct

from .frames import Version

# Any payload comes back unchanged: ours is the number, and the magic it was sent in, since a PING may be
# sent in both.
_PAYLOAD = struct.Struct(">IH")
_MAX_UNANSWERED = 64  # older ones are forgotten
# A PING is delivered once sent, so repeating it only helps against a peer that was not ready.
PROBE_RETRY_S = 3.0


class Pings:
    """`next_probe_s` is when the version is asked for again; None while nobody needs to know it."""

    def __init__(self) -> None:
        self.next_probe_s: float | None = None
        self._last_sequence = 0
        self._sent: dict[bytes, float] = {}  # when, by payload

    def new(self, versions: tuple[Version, ...], now: float) -> tuple[int, list[bytes]]:
        """The number of a PING that is sent now, and its payload in each version."""
        self._last_sequence = (self._last_sequence + 1) & 0xFFFFFFFF
        payloads = [_PAYLOAD.pack(self._last_sequence, version) for version in versions]
        for payload in payloads:
            self._sent[payload] = now
        while len(self._sent) > _MAX_UNANSWERED:
            del self._sent[next(iter(self._sent))]
        return self._last_sequence, payloads

    def answered(self, payload: bytes, now: float) -> tuple[int, float] | None:
        """Number and round trip in seconds of the PING that this PONG answers; None if it answers none."""
        sent = self._sent.pop(payload, None)
        return None if sent is None else (_PAYLOAD.unpack(payload)[0], now - sent)

    def probe_due(self, now: float) -> bool:
        """Whether to ask for the version now; if so, the next time is set."""
        if self.next_probe_s is not None and now < self.next_probe_s:
            return False
        self.next_probe_s = now + PROBE_RETRY_S
        return True

    def forget(self) -> None:
        """The connection is gone, and every PING with it."""
        self._sent.clear()
        self.next_probe_s = None
