"""Sleep is told from a busy machine."""

from toxvpn.tox.naps import SHORTEST_NAP_S, Naps


def test_sleep_is_noticed_once() -> None:
    naps = Naps(100.0)
    assert naps.tick(100.25) == 0
    assert naps.tick(160.5) == 60.25
    assert naps.tick(160.75) == 0


def test_a_slow_tick_is_no_sleep() -> None:
    naps = Naps(0.0)
    assert naps.tick(SHORTEST_NAP_S - 0.01) == 0
    assert naps.tick(2 * SHORTEST_NAP_S) > 0
