"""When a PING is due because the last packet may be lost."""

import pytest

from toxvpn.wire.tuntox.tail import ANSWERS, LONGEST_S, WAITS_S, Tail


def pings_s(tail: Tail, until_s: float, start_s: float = 0.0) -> list[float]:
    """When PINGs are due, by steps of 10 ms."""
    steps = range(round(start_s * 100), round(until_s * 100) + 1)
    return [step / 100 for step in steps if tail.due(step / 100)]


def test_some_pings_follow_what_is_not_answered_and_then_no_more() -> None:
    tail = Tail()
    tail.sent(0.0)
    assert pings_s(tail, 60.0) == pytest.approx([sum(WAITS_S[:count]) for count in range(1, 6)], abs=0.011)
    assert tail.next_s is None


def test_nothing_is_due_without_a_packet_or_after_an_answer() -> None:
    tail = Tail()
    assert pings_s(tail, 1.0) == []
    tail.sent(1.0)
    tail.received(1.01)
    assert tail.next_s is None and pings_s(tail, 9.0, 1.0) == []


def test_who_goes_on_sending_needs_no_ping() -> None:
    tail = Tail()
    for step in range(100):
        tail.sent(step / 100)
        assert not tail.due(step / 100)
    assert tail.due(0.99 + WAITS_S[0])


def test_what_is_sent_after_the_first_ping_does_not_put_off_the_next() -> None:
    tail = Tail()
    tail.sent(0.0)
    assert tail.due(0.05)
    tail.sent(0.09)
    assert tail.due(0.11)


def test_on_a_long_path_an_answer_is_waited_for() -> None:
    tail = Tail()
    now = 0.0
    for _ in range(ANSWERS):
        tail.sent(now)
        tail.received(now + 0.2)
        now += 1
    tail.sent(now)
    assert tail.next_s == pytest.approx(now + 0.4)


def test_one_answer_that_took_long_says_nothing() -> None:
    tail = Tail()
    for answer_s in (0.01, 2.0):
        tail.sent(10.0)
        tail.received(10.0 + answer_s)
    tail.sent(20.0)
    assert tail.next_s == pytest.approx(20.0 + WAITS_S[0])


def test_a_peer_that_answers_seldom_is_waited_for_a_second_at_most() -> None:
    tail = Tail()
    for _ in range(ANSWERS):
        tail.sent(0.0)
        tail.received(100.0)
    tail.sent(200.0)
    assert tail.next_s == 200.0 + LONGEST_S


def test_nobody_is_asked_who_has_left() -> None:
    tail = Tail()
    tail.sent(0.0)
    tail.forget()
    assert pings_s(tail, 1.0) == []
