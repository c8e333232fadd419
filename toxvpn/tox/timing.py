"""When to iterate, and how fast toxcore's clock runs. Sans-IO: `now` in seconds comes with each call.

- TurnInterval: how far apart turns may be. toxcore asks for 50 ms; an idle node takes one per 250 ms.
- FastClock: toxcore's clock runs 8, then 4 times fast in short bursts, while a peer is being reached.
- ClockSteps: how far the clock moves at a time, while toxcore's rate control refuses packets to a peer.
"""

IDLE_AFTER_S = 20.0
"""Without a change of connection or a lossless packet; finding a path takes less."""
IDLE_INTERVAL_S = 0.25

FASTEST_RATE = 8.0
FASTEST_S = 3.0
"""Of a burst: in these 24 s of its own, toxcore mostly waits until it may go on."""
FAST_RATE = 4.0
SLOW_RATE = 0.9
BURST_S = 15.0
PAUSE_S = 60.0
EXPECT_S = 5.0
SETTLE_S = 1.0
"""The first packets to a new friend are often lost while paths are found, and repeated once per second."""
MOST_AHEAD_S = 60.0

COMFORTABLE_STEP_S = 0.01
"""Short enough for a person who types meanwhile, long enough to cost little."""
LONGEST_STEP_S = 0.05
"""toxcore's own interval between turns, which suits the rate it starts with."""
SHORTEST_STEP_S = 0.001
"""toxcore counts in milliseconds."""
FEWEST_PACKETS = 3
MOST_PACKETS = 32
"""A turn in which no time has passed cuts what toxcore allows to 64, at more than 2000 packets per second."""
FORGOTTEN_S = 1.0


class TurnInterval:
    """Time between tox_iterate calls: as toxcore asks, 250 ms after 20 s without activity.

    Whatever comes in wakes the node anyway (sockets.py), and what toxcore does by time, when it is neither
    connecting nor sending, counts in seconds.
    """

    def __init__(self) -> None:
        self._active_s = float("-inf")

    def note_activity(self, now: float) -> bool:
        """Returns whether the node was idle until now: its next turn may then be planned too late."""
        was_idle = self._is_idle(now)
        self._active_s = now
        return was_idle

    def interval_s(self, wanted_s: float, now: float) -> float:
        """Time from one turn to the next; `wanted_s` is what toxcore asks for."""
        return max(wanted_s, IDLE_INTERVAL_S) if self._is_idle(now) else wanted_s

    def _is_idle(self, now: float) -> bool:
        return now - self._active_s >= IDLE_AFTER_S


class FastClock:
    """The rate of toxcore's clock: fast in bursts while nobody is connected yet, a little slow afterwards.

    toxcore spends its 9 s of connecting mostly in waits of whole seconds; a clock that runs 8 and 4 times
    fast shortens them (docs/decisions/0003-fast-clock.md). Its time-outs shrink too, so a burst ends
    soon after the first peer is connected or after BURST_S, and the next one must wait until PAUSE_S have
    passed. What the clock has gained it gives back by running slowly, and it never gains much.
    """

    def __init__(self) -> None:
        self._ends_s: float | None = None
        self._fastest_until_s = float("-inf")
        self._paused_until_s = float("-inf")
        self._rate = 1.0
        self._rated_s = 0.0
        self.ahead_s = 0.0
        """How much more time toxcore has seen than has passed."""

    def jumped(self, jump_s: float) -> None:
        """toxcore's clock was put ahead."""
        self.ahead_s += jump_s

    def start_burst(self, now: float) -> None:
        """A peer is to be reached: begins a burst, unless one runs or the last was lately."""
        if self._ends_s is None and now >= self._paused_until_s:
            self._ends_s = now + BURST_S
            self._fastest_until_s = now + FASTEST_S
            self._paused_until_s = now + BURST_S + PAUSE_S

    def expect_peer(self, now: float) -> None:
        """A peer has just been let in and connects now, while nobody else is connected."""
        if self._ends_s is None and self.ahead_s < MOST_AHEAD_S:
            self._ends_s = now + EXPECT_S

    def peer_connected(self, now: float) -> None:
        """Ends the burst as soon as the peer's first packets are through."""
        if self._ends_s is not None:
            self._ends_s = min(self._ends_s, now + SETTLE_S)

    def cancel_burst(self) -> None:
        """We are in the network and there is no peer to reach; the next burst need not wait."""
        self._ends_s = None
        self._fastest_until_s = self._paused_until_s = float("-inf")

    def rate(self, now: float) -> float:
        """The rate to set now; to be called several times a second."""
        self.ahead_s += (self._rate - 1) * (now - self._rated_s)
        self._rated_s = now
        if self._ends_s is not None and now >= self._ends_s:
            self._ends_s = None
        if self._ends_s is not None:
            self._rate = FASTEST_RATE if now < self._fastest_until_s else FAST_RATE
        else:
            self._rate = SLOW_RATE if self.ahead_s > 0 else 1.0
        return self._rate


class ClockSteps:
    """How long toxcore's clock stands while its rate control refuses lossless packets to one peer.

    In: how many packets it took after a step of its time. Out: how long the next step is to be. toxcore
    refills by time what it allows; a turn that comes before one packet's worth is refilled counts as
    congestion, and for a second the rate only shrinks (docs/decisions/0004-time-in-steps.md). So each step is
    worth some packets: long as long as the rate is low or unknown, and shorter as it grows.
    """

    def __init__(self) -> None:
        self.step_s = LONGEST_STEP_S
        self._stepped_s = float("-inf")

    def begin(self, now: float) -> None:
        """toxcore refuses packets from now on; what was learnt about the rate lately still counts."""
        if now - self._stepped_s > FORGOTTEN_S:
            self.step_s = LONGEST_STEP_S

    def stepped(self, sent: int, now: float) -> None:
        """After a step, toxcore took `sent` packets before it refused the next."""
        self._stepped_s = now
        # one large step, as the first one, says little about the next
        least_s = max(self.step_s / 2, SHORTEST_STEP_S)
        self.step_s = min(max(self._wanted_s(sent), least_s), LONGEST_STEP_S)

    def _wanted_s(self, sent: int) -> float:
        if not sent:
            return LONGEST_STEP_S
        packet_s = self.step_s / sent
        return max(FEWEST_PACKETS * packet_s, min(COMFORTABLE_STEP_S, MOST_PACKETS * packet_s))
