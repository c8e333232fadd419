from toxvpn.tox.pace import BURST_S, FAST_RATE, REST_S, Pace


def test_normal_until_started() -> None:
    assert Pace().rate(0) == 1


def test_a_burst_ends_by_itself() -> None:
    pace = Pace()
    pace.start(100)
    assert pace.rate(100) == FAST_RATE
    assert pace.rate(100 + BURST_S - 0.1) == FAST_RATE
    assert pace.rate(100 + BURST_S) == 1


def test_a_burst_ends_at_the_first_connection() -> None:
    pace = Pace()
    pace.start(100)
    pace.connected()
    assert pace.rate(101) == 1


def test_bursts_do_not_follow_in_a_loop() -> None:
    pace = Pace()
    pace.start(0)
    pace.connected()
    pace.start(10)
    assert pace.rate(10) == 1, "the last one was just now"
    pace.start(BURST_S + REST_S)
    assert pace.rate(BURST_S + REST_S) == FAST_RATE


def test_starting_again_does_not_prolong() -> None:
    pace = Pace()
    pace.start(0)
    pace.start(BURST_S - 1)
    assert pace.rate(BURST_S) == 1


def test_with_nobody_to_look_for_the_next_burst_need_not_wait() -> None:
    pace = Pace()
    pace.start(0)
    pace.alone()
    assert pace.rate(1) == 1
    pace.start(2)
    assert pace.rate(2) == FAST_RATE
