"""Silence is told from quiet."""

from toxvpn.tox.reach.silence import Silence


def test_who_sends_and_hears_nothing_counts_the_seconds() -> None:
    silence = Silence()
    assert silence.lasts_s(10, 10, 100.0) == 0
    assert silence.lasts_s(20, 10, 100.5) == 0
    assert silence.lasts_s(30, 10, 101.0) == 0.5
    assert silence.lasts_s(30, 10, 103.0) == 2.5, "also when it sends no more"
    assert silence.lasts_s(40, 11, 103.5) == 0, "an answer ends it"
    assert silence.lasts_s(40, 11, 200.0) == 0, "nobody sends, nobody answers"
    assert silence.heard_s == 103.5
    assert silence.lasts_s(41, 11, 200.5) == 0
    assert silence.lasts_s(41, 11, 201.5) == 1.0


def test_counters_that_begin_anew() -> None:
    silence = Silence()
    silence.lasts_s(100, 100, 1.0)
    assert silence.lasts_s(1, 100, 2.0) == 0
    assert silence.lasts_s(2, 100, 3.0) == 0
    assert silence.lasts_s(2, 100, 4.0) == 1.0
