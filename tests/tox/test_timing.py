from toxvpn.tox.pace import BURST_S, EXPECT_S, FAST_RATE, MOST_AHEAD_S, REST_S, SETTLE_S, SLOW_RATE, Pace

TICK_S = 0.25


class Clock:
    """A pace, and what a clock that obeys it shows."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.now = 100.0
        self.ahead_s = 0.0
        self.rate = self.pace.rate(self.now)

    def run(self, seconds: float) -> float:
        """The rate at the end of it."""
        for _ in range(round(seconds / TICK_S)):
            self.ahead_s += (self.rate - 1) * TICK_S
            self.now += TICK_S
            self.rate = self.pace.rate(self.now)
        return self.rate


def test_normal_until_started() -> None:
    assert Pace().rate(0) == 1


def test_a_burst_ends_by_itself() -> None:
    pace = Pace()
    pace.start(100)
    assert pace.rate(100) == FAST_RATE
    assert pace.rate(100 + BURST_S - 0.1) == FAST_RATE
    assert pace.rate(100 + BURST_S) == SLOW_RATE


def test_a_burst_ends_soon_after_the_first_connection() -> None:
    pace = Pace()
    pace.start(100)
    assert pace.rate(101) == FAST_RATE
    pace.connected(101)
    assert pace.rate(101 + SETTLE_S - 0.1) == FAST_RATE
    assert pace.rate(101 + SETTLE_S) == SLOW_RATE


def test_a_connection_begins_no_burst_and_lengthens_none() -> None:
    pace = Pace()
    pace.connected(100)
    assert pace.rate(100) == 1
    pace.expect(200)
    pace.connected(200 + EXPECT_S - 0.1)
    assert pace.rate(200 + EXPECT_S) == 1


def test_bursts_do_not_follow_in_a_loop() -> None:
    pace = Pace()
    pace.start(0)
    pace.connected(0)
    assert pace.rate(SETTLE_S) != FAST_RATE
    pace.start(10)
    assert pace.rate(10) != FAST_RATE, "the last one was just now"
    pace.start(BURST_S + REST_S)
    assert pace.rate(BURST_S + REST_S) == FAST_RATE


def test_starting_again_does_not_prolong() -> None:
    pace = Pace()
    pace.start(0)
    pace.start(BURST_S - 1)
    assert pace.rate(BURST_S) != FAST_RATE


def test_nobody_to_look_for_ends_it_without_a_rest() -> None:
    pace = Pace()
    pace.start(0)
    pace.alone()
    assert pace.rate(0) == 1
    pace.start(1)
    assert pace.rate(1) == FAST_RATE


def test_who_was_let_in_just_now_is_expected_for_some_seconds() -> None:
    pace = Pace()
    pace.expect(100)
    assert pace.rate(100) == FAST_RATE
    assert pace.rate(100 + EXPECT_S - 0.1) == FAST_RATE
    assert pace.rate(100 + EXPECT_S) != FAST_RATE


def test_what_the_clock_gained_is_given_back() -> None:
    clock = Clock()
    clock.pace.start(clock.now)
    clock.run(BURST_S)
    assert clock.ahead_s > 2 * BURST_S
    assert clock.run(10_000) == 1
    assert abs(clock.ahead_s) < TICK_S


def test_however_many_come_and_go_the_clock_gains_little() -> None:
    clock = Clock()
    for _ in range(1000):
        clock.pace.expect(clock.now)
        clock.run(EXPECT_S + 1)
        assert clock.ahead_s < MOST_AHEAD_S + FAST_RATE * EXPECT_S
