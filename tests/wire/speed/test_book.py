"""Who may begin a speed test, what it may still do, and when it is over."""

import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from toxvpn.wire.speed.book import MOST_AT_ONCE, SPARE_S, Book, SpeedTest
from toxvpn.wire.speed.messages import BUSY, DOWN, FULL, LEAST_S, MOST_S, UP, Refused

A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))


def new_book() -> Book:
    numbers = itertools.count()
    return Book(lambda: str(next(numbers)))


def begun(book: Book, key: bytes, wanted_s: float = 5.0) -> SpeedTest:
    test = book.begin(key, wanted_s, 100.0)
    assert isinstance(test, SpeedTest)
    return test


def test_a_peer_has_one_at_a_time() -> None:
    book = new_book()
    test = begun(book, A)
    assert book.begin(A, 5.0, 100.0) == Refused(BUSY)
    book.end(test)
    assert begun(book, A).name != test.name


def test_all_together_have_a_few() -> None:
    book = new_book()
    first, _ = begun(book, A), begun(book, B)
    assert book.begin(C, 5.0, 100.0) == Refused(FULL)
    book.end(first)
    begun(book, C)


@pytest.mark.parametrize(("wanted_s", "given_s"), [(5.0, 5.0), (0.0, LEAST_S), (1e6, MOST_S)])
def test_the_server_bounds_the_time(wanted_s: float, given_s: float) -> None:
    test = begun(new_book(), A, wanted_s)
    assert (test.seconds, test.ends_s) == (given_s, 100.0 + 2 * given_s + SPARE_S)


def test_each_direction_is_had_once() -> None:
    test = begun(new_book(), A)
    assert test.take(DOWN) and test.take(UP)
    assert not test.take(DOWN) and not test.take(UP)


def test_a_test_is_found_by_its_own_peer_while_it_runs() -> None:
    book = new_book()
    test = begun(book, A)
    assert book.find(A, test.name) is test
    assert book.find(B, test.name) is None
    assert book.find(A, "guessed") is None
    book.end(test)
    assert book.find(A, test.name) is None


class Peers(RuleBasedStateMachine):
    """Peers that begin and end tests in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.book = new_book()
        self.running: dict[bytes, SpeedTest] = {}

    @rule(key=st.sampled_from([A, B, C]))
    def begin(self, key: bytes) -> None:
        test = self.book.begin(key, 5.0, 0.0)
        if isinstance(test, SpeedTest):
            assert key not in self.running
            self.running[key] = test
        else:
            assert test == Refused(BUSY if key in self.running else FULL)
            assert key in self.running or len(self.running) == MOST_AT_ONCE

    @rule(key=st.sampled_from([A, B, C]))
    def end(self, key: bytes) -> None:
        if (test := self.running.pop(key, None)) is not None:
            self.book.end(test)
            self.book.end(test)

    @invariant()
    def no_more_than_allowed(self) -> None:
        assert len(self.running) <= MOST_AT_ONCE
        assert all(self.book.find(key, test.name) is test for key, test in self.running.items())


TestPeers = Peers.TestCase
