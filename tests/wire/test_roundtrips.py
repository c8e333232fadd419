"""Round trips and losses, told from probes on a clock that is stepped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.roundtrips import LOST_S, WINDOW, RoundTrips

SIZE = 500


def test_nothing_is_known_at_first() -> None:
    trips = RoundTrips()
    assert (trips.rtt_s, trips.loss(1000.0)) == (None, None)
    trips.sent(1, SIZE, 1000.0, fits=True)
    assert (trips.rtt_s, trips.loss(1000.0)) == (None, None)


def test_the_last_round_trip_counts() -> None:
    trips = RoundTrips()
    for token, took_s in ((1, 0.25), (2, 0.5)):
        trips.sent(token, SIZE, 1000.0, fits=True)
        trips.acknowledged(token, SIZE, 1000.0 + took_s)
        assert trips.rtt_s == took_s
    assert trips.loss(1010.0) == 0


def test_what_is_late_repeated_or_forged_changes_nothing() -> None:
    trips = RoundTrips()
    trips.sent(1, SIZE, 1000.0, fits=True)
    trips.acknowledged(2, SIZE, 1000.1)
    trips.acknowledged(1, SIZE + 1, 1000.1)
    trips.acknowledged(1, SIZE, 1000.25)
    trips.acknowledged(1, SIZE, 1003.0)
    assert trips.rtt_s == 0.25
    trips.sent(3, SIZE, 1010.0, fits=True)
    trips.acknowledged(3, SIZE, 1010.0 + LOST_S)
    assert (trips.rtt_s, trips.loss(1020.0)) == (0.25, 0.5)


def test_a_probe_that_may_be_too_large_tells_the_round_trip_alone() -> None:
    trips = RoundTrips()
    for token, size in ((1, 1373), (2, SIZE)):
        trips.sent(token, size, 1000.0, fits=False)
    trips.acknowledged(2, SIZE, 1000.5)
    assert (trips.rtt_s, trips.loss(1010.0)) == (0.5, 0.0)


def test_a_new_mtu_forgets_what_was_too_large() -> None:
    trips = RoundTrips()
    for token in range(3):
        trips.sent(token, 1373, 1000.0 + token, fits=True)
    trips.resized()
    assert trips.loss(1020.0) is None


@given(st.lists(st.booleans(), max_size=3 * WINDOW))
def test_the_loss_is_that_of_the_latest_probes(arrives: list[bool]) -> None:
    trips, now = RoundTrips(), 0.0
    for token, does in enumerate(arrives):
        trips.sent(token, SIZE, now, fits=True)
        if does:
            trips.acknowledged(token, SIZE, now + 0.1)
        now += LOST_S
    latest = arrives[-WINDOW:]
    expected = latest.count(False) / len(latest) if latest else None
    assert trips.loss(now) == (None if expected is None else pytest.approx(expected))
