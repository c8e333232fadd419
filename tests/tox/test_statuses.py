"""How often a peer's status messages are told, on a stepped clock."""

from toxvpn.tox.statuses import TOLD_AT_ONCE, Statuses

KEY, OTHER = bytes(32), b"\1" * 32


def flooded() -> Statuses:
    statuses = Statuses()
    assert [statuses.stated(KEY, 100) for _ in range(100)] == [True] * TOLD_AT_ONCE + [False] * (
        100 - TOLD_AT_ONCE
    )
    return statuses


def test_the_first_are_told_at_once_and_the_newest_of_a_flood_later() -> None:
    statuses = flooded()
    assert statuses.due(100.5) == []
    assert statuses.due(101) == [KEY]
    assert statuses.due(110) == []


def test_while_one_waits_no_newer_one_overtakes_it() -> None:
    statuses = flooded()
    assert not statuses.stated(KEY, 105)
    assert statuses.due(105) == [KEY]
    assert statuses.stated(KEY, 105)


def test_others_are_told_in_a_flood() -> None:
    assert flooded().stated(OTHER, 100)


def test_who_is_forgotten_is_not_told() -> None:
    statuses = flooded()
    statuses.forget(KEY)
    assert statuses.due(200) == []
    assert statuses.stated(KEY, 200)
