from toxvpn.tun.heal.fight import LONGEST_PAUSE_S, PAUSE_S, REPAIRS_AT_ONCE, REPAIRS_PER_S, Fight


def fought_from(fight: Fight, now_s: float) -> float:
    """The pause after so many repairs at once."""
    assert all(fight.allows(now_s) for _ in range(REPAIRS_AT_ONCE))
    assert not fight.allows(now_s)
    return fight.left_s(now_s)


def test_repairs_now_and_then_are_allowed_for_ever() -> None:
    fight = Fight()
    assert all(fight.allows(number / REPAIRS_PER_S) for number in range(100))
    assert fight.left_s(0) == 0


def test_a_fight_ends_in_a_pause_and_each_further_one_in_a_longer_one() -> None:
    fight, now_s, pauses = Fight(), 0.0, []
    for _ in range(6):
        pauses.append(fought_from(fight, now_s))
        assert not fight.allows(now_s + pauses[-1] - 1)
        now_s += pauses[-1]
    assert pauses == [PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S, 8 * PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_peace_as_long_as_the_pause_begins_anew() -> None:
    fight = Fight()
    fought_from(fight, 0)
    assert fought_from(fight, 2 * PAUSE_S) == PAUSE_S
