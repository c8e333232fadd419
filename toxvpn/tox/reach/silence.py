"""Notices that a peer answers nothing: its path is dead, though nobody here has moved. Sans-IO."""


class Silence:
    """Of one peer. Packets are counted since the start, whatever they are."""

    def __init__(self) -> None:
        self._sent = 0
        self._received = 0
        self._since_s: float | None = None
        self.heard_s = float("-inf")
        """When something was received last, as far as looked."""

    def lasts_s(self, sent: int, received: int, now: float) -> float:
        """For how long something has been sent and nothing received; 0: nothing is sent, or all is well."""
        if received != self._received:
            self.heard_s = now
        if received != self._received or sent < self._sent:
            self._since_s = None
        elif sent != self._sent and self._since_s is None:
            self._since_s = now
        self._sent, self._received = sent, received
        return 0.0 if self._since_s is None else now - self._since_s
