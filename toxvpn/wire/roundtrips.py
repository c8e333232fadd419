"""Round trips and losses on the path to one peer, from probes and what the peer acknowledges.

In: times, probes that were sent, acknowledgements. Out: the last round trip, and which part of the latest
probes got lost. Sans-IO. The probes are those of the path's MTU (pathmtu.py), which are sent anyway, and
small ones while a person looks on; tox/mtuprober.py sends both.
"""

from collections import deque

WINDOW = 20
"""How many probes the loss is of: the last ten minutes, or less while a person looks on."""
LOST_S = 5.0
"""A probe without an acknowledgement for so long is lost. A relay that is busy takes a second or two."""


class RoundTrips:
    """The path to one peer; each `now` is in seconds. A probe is told from others by its token and size."""

    def __init__(self) -> None:
        self.rtt_s: float | None = None
        self._waiting: dict[tuple[int, int], tuple[float, bool]] = {}
        self._arrived: deque[bool] = deque(maxlen=WINDOW)

    def sent(self, token: int, size_bytes: int, now: float, *, fits: bool) -> None:
        """A probe left. One that may be too large for the path (`fits` False) does not count when lost."""
        self._settle(now)
        self._waiting[token, size_bytes] = now, fits

    def acknowledged(self, token: int, size_bytes: int, now: float) -> None:
        """Acknowledgements that are late, repeated or forged are ignored."""
        self._settle(now)
        sent = self._waiting.pop((token, size_bytes), None)
        if sent is not None:
            self.rtt_s = now - sent[0]
            self._arrived.append(True)

    def resized(self) -> None:
        """The path's MTU has changed: the lost probes were too large."""
        self._waiting.clear()
        self._arrived.clear()

    def loss(self, now: float) -> float | None:
        """Which part of the latest probes got lost, 0 to 1; None when none has been decided on."""
        self._settle(now)
        return self._arrived.count(False) / len(self._arrived) if self._arrived else None

    def _settle(self, now: float) -> None:
        """Counts the probes that are lost by now; the oldest comes first."""
        for probe, (sent_s, fits) in list(self._waiting.items()):
            if now - sent_s < LOST_S:
                return
            del self._waiting[probe]
            if fits:
                self._arrived.append(False)
