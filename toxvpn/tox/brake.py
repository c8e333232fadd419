"""How long toxcore's time is to stand while its rate control refuses lossless packets to a peer.

In: how many packets it took after a step of its time. Out: how long the next step is to be. toxcore refills
by time what it allows; a turn that comes before one packet's worth is refilled counts as congestion, and for
a second the rate only shrinks (docs/decisions/0004-time-in-steps.md). So each step is worth some packets:
long as long as the rate is low or unknown, and shorter as it grows.
"""

COMFORTABLE_S = 0.01
"""Short enough for whoever types meanwhile, long enough to cost little."""
LONGEST_S = 0.05
"""toxcore's own interval between turns, which suits the rate it starts with."""
SHORTEST_S = 0.001
"""toxcore counts in milliseconds."""
FEWEST_PACKETS = 3
MOST_PACKETS = 32
"""A turn in which no time has passed cuts what toxcore allows to 64, at more than 2000 packets per second."""
FORGOTTEN_S = 1.0


class Brake:
    """For one peer. Sans-IO: `now` in seconds comes with each call."""

    def __init__(self) -> None:
        self.step_s = LONGEST_S
        self._stepped_s = float("-inf")

    def engage(self, now: float) -> None:
        """Packets are refused from now on; what was learnt about the rate lately still counts."""
        if now - self._stepped_s > FORGOTTEN_S:
            self.step_s = LONGEST_S

    def stepped(self, sent: int, now: float) -> None:
        """After a step, so many packets went before toxcore refused the next."""
        self._stepped_s = now
        # one large step, as the first one, says little about the next
        least_s = max(self.step_s / 2, SHORTEST_S)
        self.step_s = min(max(self._wanted_s(sent), least_s), LONGEST_S)

    def _wanted_s(self, sent: int) -> float:
        if not sent:
            return LONGEST_S
        packet_s = self.step_s / sent
        return max(FEWEST_PACKETS * packet_s, min(COMFORTABLE_S, MOST_PACKETS * packet_s))
