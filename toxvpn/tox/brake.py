"""How far apart turns are while toxcore's rate control refuses lossless packets to a peer.

In: how many packets it took after a turn. Out: how long the next turn is to be put off. toxcore refills by
time what it allows; a turn that comes before one packet's worth is refilled counts as congestion, and for
a second the rate only shrinks (docs/decisions/0004-braked-turns.md). So turns come when some packets may
go again: far apart as long as the rate is low or unknown, closer as it grows.
"""

SHORTEST_S = 0.01
LONGEST_S = 0.05
"""toxcore's own interval between turns, which suits the rate it starts with."""
WANTED_PACKETS = 3
FORGOTTEN_S = 1.0


class Brake:
    """For one peer. Sans-IO: `now` in seconds comes with each call."""

    def __init__(self) -> None:
        self.spacing_s = LONGEST_S
        self._turned_s = float("-inf")

    def engage(self, now: float) -> None:
        """Packets are refused from now on; what was learnt about the rate lately still counts."""
        if now - self._turned_s > FORGOTTEN_S:
            self.spacing_s = LONGEST_S

    def turned(self, sent: int, now: float) -> None:
        """A turn has let so many packets go before toxcore refused the next."""
        self._turned_s = now
        wanted_s = self.spacing_s * WANTED_PACKETS / sent if sent else LONGEST_S
        # one large turn, as the first one, says little about the next
        self.spacing_s = min(max(wanted_s, self.spacing_s / 2, SHORTEST_S), LONGEST_S)
