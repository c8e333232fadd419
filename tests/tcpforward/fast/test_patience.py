"""How long a stream waits for an answer: Linux's settings for a number of seconds."""

import math

from hypothesis import given
from hypothesis import strategies as st

from toxvpn.tcpforward.fast.patience import (
    DEFAULT_S,
    IDLE_S,
    IDLE_TIMES,
    LEAST_S,
    MOST_S,
    keep_alive,
    longest_rto_s,
    repetitions,
)

seconds = st.integers(LEAST_S, MOST_S)
HOUR_S = 3600
MOST_REPEATED_S = 8.25 * HOUR_S


def modelled_s(many: int, longest_s: float) -> float:
    """What Linux reckons in tcp_model_timeout(), one repetition after the other."""
    pause_s, total_s = 0.2, 0.2
    for _ in range(many):
        pause_s = min(2 * pause_s, longest_s) if 2 * pause_s <= longest_s else longest_s
        total_s += pause_s
    return total_s


def test_two_hours_are_the_default_and_a_night_if_nothing_is_sent() -> None:
    assert DEFAULT_S == 2 * HOUR_S
    assert keep_alive(DEFAULT_S) == (40, 360, 120)
    assert longest_rto_s(DEFAULT_S) == 30
    assert repetitions(DEFAULT_S, 30) == 246
    assert repetitions(DEFAULT_S) == 68


def test_a_short_time_asks_often() -> None:
    assert keep_alive(120) == (40, 40, 17)
    assert longest_rto_s(120) == 5
    assert repetitions(120, 5) == 27


@given(seconds)
def test_an_idle_stream_asks_until_its_time_is_over(keep_s: int) -> None:
    idle_s, interval_s, questions = keep_alive(keep_s)
    assert idle_s == IDLE_S
    assert 1 <= questions <= 127  # MAX_TCP_KEEPCNT
    assert 1 <= interval_s <= 32767  # MAX_TCP_KEEPINTVL
    asked_s = idle_s + questions * interval_s
    assert IDLE_TIMES * keep_s <= asked_s < IDLE_TIMES * keep_s + 2 * interval_s


@given(seconds, st.booleans())
def test_data_is_repeated_until_its_time_is_over(keep_s: int, can_be_set: bool) -> None:
    """Up to what 255 repetitions take."""
    longest_s = longest_rto_s(keep_s) if can_be_set else 120.0
    assert 5 <= longest_s <= 120
    many = repetitions(keep_s, longest_s)
    assert 1 <= many <= 255
    taken_s = modelled_s(many, longest_s)
    assert taken_s >= min(keep_s, MOST_REPEATED_S) * 0.98
    assert taken_s <= keep_s + 2 * longest_s
    assert not math.isinf(taken_s)
