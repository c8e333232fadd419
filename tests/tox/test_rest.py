from toxvpn.tox.rest import LONGEST_S, QUIET_AFTER_S, Rest

WANTED_S = 0.05


def test_turns_are_as_toxcore_wants_them_until_all_has_been_quiet_for_a_while() -> None:
    rest = Rest()
    rest.stir(100.0)
    assert rest.interval_s(WANTED_S, 100.0 + QUIET_AFTER_S - 0.01) == WANTED_S
    assert rest.interval_s(WANTED_S, 100.0 + QUIET_AFTER_S) == LONGEST_S


def test_what_toxcore_wants_to_be_longer_stays_so() -> None:
    assert Rest().interval_s(2 * LONGEST_S, 0.0) == 2 * LONGEST_S


def test_stirring_says_whether_it_was_quiet() -> None:
    rest = Rest()
    assert rest.stir(0.0)
    assert not rest.stir(QUIET_AFTER_S - 0.01)
    assert not rest.stir(2 * QUIET_AFTER_S - 0.02)
    assert rest.stir(3 * QUIET_AFTER_S)
