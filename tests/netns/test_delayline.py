"""The delay line's queue, with a stepped clock."""

import random

from hypothesis import given
from hypothesis import strategies as st

from lab.delayline import Delay, DelayQueue


def queue(delay: Delay) -> DelayQueue:
    return DelayQueue(delay, random.Random(7))


def test_a_frame_arrives_after_its_delay_and_not_before() -> None:
    line = queue(Delay(50))
    line.push(b"a", now=1.0)
    line.push(b"b", now=1.01)
    assert line.next_due() == 1.05
    assert list(line.pop(1.0499)) == []
    assert list(line.pop(1.05)) == [b"a"]
    assert list(line.pop(2.0)) == [b"b"]
    assert line.next_due() == float("inf")


@given(st.lists(st.floats(0, 0.01), min_size=2, max_size=50), st.integers())
def test_jitter_spreads_arrivals_and_keeps_their_order(gaps_s: list[float], seed: int) -> None:
    line, now = DelayQueue(Delay(50, jitter_ms=20), random.Random(seed)), 0.0
    pushed = []
    for number, gap_s in enumerate(gaps_s):
        now += gap_s
        pushed.append(number.to_bytes(2))
        line.push(pushed[-1], now)
    assert line.next_due() >= gaps_s[0] + 0.03
    assert list(line.pop(now + 0.0701)) == pushed


def test_jitter_varies_the_delay() -> None:
    line = queue(Delay(50, jitter_ms=20))
    dues = []
    for start in range(200):
        line.push(b"", now=start)
        dues.append(line.next_due() - start)
        list(line.pop(start + 1))
    assert 0.03 <= min(dues) < 0.035 and 0.065 < max(dues) <= 0.0701


def test_a_reordered_frame_overtakes() -> None:
    line = queue(Delay(50, reorder_percent=30))
    for number in range(100):
        line.push(bytes([number]), now=number / 1000)
    overtakers = list(line.pop(0.0501 - 0.001))
    assert 5 <= len(overtakers) <= 30  # of 50 or so
    arrived = overtakers + list(line.pop(1))
    assert sorted(arrived) == [bytes([number]) for number in range(100)] != arrived


def test_a_duplicated_frame_arrives_twice() -> None:
    line = queue(Delay(1, duplicate_percent=50))
    for number in range(100):
        line.push(bytes([number]), now=0)
    arrived = list(line.pop(1))
    assert 130 <= len(arrived) <= 170
    assert set(arrived) == {bytes([number]) for number in range(100)}
