"""The three clocks of tox/timing.py, on a clock of the test."""

import pytest

from toxvpn.tox.timing import (
    BURST_S,
    COMFORTABLE_STEP_S,
    EXPECT_S,
    FAST_RATE,
    FASTEST_RATE,
    FASTEST_S,
    FORGOTTEN_S,
    IDLE_AFTER_S,
    IDLE_INTERVAL_S,
    LONGEST_STEP_S,
    MOST_AHEAD_S,
    PAUSE_S,
    SETTLE_S,
    SHORTEST_STEP_S,
    SLOW_RATE,
    ClockSteps,
    FastClock,
    TurnInterval,
)

# -- how far apart turns are -------------------------------------------------------------------------

WANTED_S = 0.05


def test_turns_are_as_toxcore_wants_them_until_all_has_been_quiet_for_a_while() -> None:
    interval = TurnInterval()
    interval.note_activity(100.0)
    assert interval.interval_s(WANTED_S, 100.0 + IDLE_AFTER_S - 0.01) == WANTED_S
    assert interval.interval_s(WANTED_S, 100.0 + IDLE_AFTER_S) == IDLE_INTERVAL_S


def test_what_toxcore_wants_to_be_longer_stays_so() -> None:
    assert TurnInterval().interval_s(2 * IDLE_INTERVAL_S, 0.0) == 2 * IDLE_INTERVAL_S


def test_stirring_says_whether_it_was_quiet() -> None:
    interval = TurnInterval()
    assert interval.note_activity(0.0)
    assert not interval.note_activity(IDLE_AFTER_S - 0.01)
    assert not interval.note_activity(2 * IDLE_AFTER_S - 0.02)
    assert interval.note_activity(3 * IDLE_AFTER_S)


# -- how fast the clock runs -------------------------------------------------------------------------

TICK_S = 0.25


class Clock:
    """A clock that runs at the rate asked for, and what it shows."""

    def __init__(self) -> None:
        self.fast = FastClock()
        self.now = 100.0
        self.ahead_s = 0.0
        self.rate = self.fast.rate(self.now)

    def run(self, seconds: float) -> float:
        """The rate at the end of it."""
        for _ in range(round(seconds / TICK_S)):
            self.ahead_s += (self.rate - 1) * TICK_S
            self.now += TICK_S
            self.rate = self.fast.rate(self.now)
        return self.rate


def test_normal_until_started() -> None:
    assert FastClock().rate(0) == 1


def test_a_burst_ends_by_itself() -> None:
    fast = FastClock()
    fast.start_burst(100)
    assert fast.rate(100) == FASTEST_RATE
    assert fast.rate(100 + FASTEST_S - 0.1) == FASTEST_RATE
    assert fast.rate(100 + FASTEST_S) == FAST_RATE
    assert fast.rate(100 + BURST_S - 0.1) == FAST_RATE
    assert fast.rate(100 + BURST_S) == SLOW_RATE


def test_a_burst_ends_soon_after_the_first_connection() -> None:
    fast = FastClock()
    fast.start_burst(100)
    assert fast.rate(101) == FASTEST_RATE
    fast.peer_connected(101)
    assert fast.rate(101 + SETTLE_S - 0.1) == FASTEST_RATE
    assert fast.rate(101 + SETTLE_S) == SLOW_RATE


def test_a_connection_begins_no_burst_and_lengthens_none() -> None:
    fast = FastClock()
    fast.peer_connected(100)
    assert fast.rate(100) == 1
    fast.expect_peer(200)
    fast.peer_connected(200 + EXPECT_S - 0.1)
    assert fast.rate(200 + EXPECT_S) == 1


def test_bursts_do_not_follow_in_a_loop() -> None:
    fast = FastClock()
    fast.start_burst(0)
    fast.peer_connected(0)
    assert fast.rate(SETTLE_S) <= 1
    fast.start_burst(10)
    assert fast.rate(10) <= 1, "the last one was just now"
    fast.start_burst(BURST_S + PAUSE_S)
    assert fast.rate(BURST_S + PAUSE_S) == FASTEST_RATE


def test_starting_again_does_not_prolong() -> None:
    fast = FastClock()
    fast.start_burst(0)
    fast.start_burst(BURST_S - 1)
    assert fast.rate(BURST_S) != FAST_RATE


def test_nobody_to_look_for_ends_it_without_a_rest() -> None:
    fast = FastClock()
    fast.start_burst(0)
    fast.cancel_burst()
    assert fast.rate(0) == 1
    fast.start_burst(1)
    assert fast.rate(1) == FASTEST_RATE


def test_who_was_let_in_just_now_is_expected_for_some_seconds() -> None:
    fast = FastClock()
    fast.expect_peer(100)
    assert fast.rate(100) == FAST_RATE
    assert fast.rate(100 + EXPECT_S - 0.1) == FAST_RATE
    assert fast.rate(100 + EXPECT_S) != FAST_RATE


def test_what_the_clock_gained_is_given_back() -> None:
    clock = Clock()
    clock.fast.start_burst(clock.now)
    clock.run(BURST_S)
    assert clock.ahead_s > 2 * BURST_S
    assert clock.run(10_000) == 1
    assert abs(clock.ahead_s) < TICK_S


def test_however_many_come_and_go_the_clock_gains_little() -> None:
    clock = Clock()
    for _ in range(1000):
        clock.fast.expect_peer(clock.now)
        clock.run(EXPECT_S + 1)
        assert clock.ahead_s < MOST_AHEAD_S + FAST_RATE * EXPECT_S


def test_a_jump_is_given_back_too() -> None:
    clock = Clock()
    clock.fast.jumped(33.0)
    assert clock.run(33.0) == SLOW_RATE
    assert clock.run(400.0) == 1
    assert abs(clock.ahead_s + 33.0) < TICK_S


# -- how far it moves at a time ----------------------------------------------------------------------


def settled(packets_per_s: float, count: int = 100) -> ClockSteps:
    """Steps after so many steps against an allowance that is refilled at this rate."""
    steps = ClockSteps()
    steps.begin(0)
    now, left = 0.0, 0.0
    for _ in range(count):
        now += steps.step_s
        left += packets_per_s * steps.step_s
        steps.stepped(int(left), now)
        left -= int(left)
    return steps


def test_an_unknown_rate_gets_the_longest_step() -> None:
    steps = ClockSteps()
    steps.begin(0)
    assert steps.step_s == LONGEST_STEP_S
    steps.stepped(0, 1)
    assert steps.step_s == LONGEST_STEP_S


@pytest.mark.parametrize("packets_per_s", [25, 60, 100, 150, 200, 400, 3000, 50_000])
def test_a_packet_may_go_after_every_step(packets_per_s: float) -> None:
    assert settled(packets_per_s).step_s * packets_per_s > 1.11  # see docs/decisions/0004-time-in-steps.md


@pytest.mark.parametrize("packets_per_s", [5000, 10_000, 30_000, 60_000])
def test_never_so_many_are_allowed_that_toxcore_would_cut_them(packets_per_s: float) -> None:
    assert settled(packets_per_s).step_s * packets_per_s <= 64


def test_steps_become_shorter_as_the_rate_grows() -> None:
    steps_s = [settled(rate).step_s for rate in (25, 100, 150, 1000, 10_000, 100_000)]
    assert steps_s == sorted(steps_s, reverse=True)
    assert steps_s[0] == LONGEST_STEP_S
    assert steps_s[3] == COMFORTABLE_STEP_S
    assert steps_s[-1] == SHORTEST_STEP_S


def test_one_large_step_is_not_the_rate() -> None:
    steps = ClockSteps()
    steps.begin(0)
    steps.stepped(70, 0.05)
    assert steps.step_s == LONGEST_STEP_S / 2
    steps.stepped(0, 0.075)
    assert steps.step_s == LONGEST_STEP_S


def test_what_was_learnt_is_forgotten_after_a_while() -> None:
    steps = settled(1000)
    used_s = 100 * LONGEST_STEP_S
    steps.stepped(10, used_s)
    steps.begin(used_s + FORGOTTEN_S)
    assert steps.step_s == COMFORTABLE_STEP_S
    steps.begin(used_s + FORGOTTEN_S + 0.1)
    assert steps.step_s == LONGEST_STEP_S
