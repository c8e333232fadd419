"""A network that is back is noticed by the first answer after a silence."""

from toxvpn._native.results import Connection
from toxvpn.tox.reach.returning import SILENT_S, Noticed, Returning

NONE, TCP, UDP = Connection.NONE, Connection.TCP, Connection.UDP


def noticed(returning: Returning, answers: int, connection: Connection, until_s: float) -> list[Noticed]:
    """What is noticed in steps of 1 s, from the start; the last is at `until_s`."""
    return [returning.look(answers, connection, float(now)) for now in range(int(until_s) + 1)]


def test_the_first_answer_after_a_silence_is_noticed_once() -> None:
    returning = Returning(0.0)
    found = noticed(returning, 0, NONE, SILENT_S + 5)
    assert found == [Noticed.NOTHING] * int(SILENT_S) + [Noticed.SILENCE] * 6
    now = SILENT_S + 6
    assert returning.look(1, NONE, now) is Noticed.ANSWER
    assert returning.look(2, NONE, now + 0.25) is Noticed.NOTHING
    assert returning.look(2, NONE, now + SILENT_S) is Noticed.NOTHING
    assert returning.look(2, NONE, now + 0.25 + SILENT_S) is Noticed.SILENCE


def test_an_answer_soon_after_the_start_is_nothing_new() -> None:
    returning = Returning(0.0)
    assert returning.look(3, NONE, SILENT_S - 0.25) is Noticed.NOTHING


def test_in_the_network_nothing_is_noticed() -> None:
    for connection in (TCP, UDP):
        returning = Returning(0.0)
        assert set(noticed(returning, 0, connection, 100.0)) == {Noticed.NOTHING}
        assert returning.look(1, NONE, 101.0) is Noticed.NOTHING


def test_a_count_that_begins_anew_is_an_answer() -> None:
    returning = Returning(0.0)
    returning.look(2**32 - 1, NONE, 0.0)
    noticed(returning, 2**32 - 1, NONE, SILENT_S)
    assert returning.look(0, NONE, SILENT_S + 1) is Noticed.ANSWER
