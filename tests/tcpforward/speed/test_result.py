import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.tcpforward.fast.segments import Segments, between
from toxvpn.tcpforward.speed.result import Direction, Meter, Result, Trips, trips

steps = st.lists(st.tuples(st.floats(0, 2), st.integers(0, 1 << 30)), min_size=1, max_size=40)


def metered(*samples: tuple[float, int]) -> Meter:
    meter = Meter()
    for at_s, total_bytes in samples:
        meter.add(at_s, total_bytes)
    return meter


def test_nothing_has_come() -> None:
    meter = Meter()
    assert (meter.bits_per_second, meter.lately_bits_per_second, meter.seconds) == (0, 0, 0)
    assert metered((5.0, 100)).bits_per_second == 0


def test_the_first_second_does_not_count() -> None:
    slow_start = [(0.0, 0), (1.0, 1_000)]
    steady = [(1.0 + second, 1_000 + second * 1_000_000) for second in range(1, 5)]
    assert metered(*slow_start, *steady).bits_per_second == pytest.approx(8e6)


def test_of_a_short_test_a_quarter_does_not_count() -> None:
    assert metered((10.0, 0), (10.25, 0), (11.0, 750_000)).bits_per_second == pytest.approx(8e6)


def test_a_pause_in_the_middle_counts() -> None:
    assert metered((0.0, 100), (4.0, 1_000_100)).bits_per_second == pytest.approx(2e6)


def test_the_live_figure_is_that_of_the_latest_second() -> None:
    fast = [(tenth / 10, tenth * 1_000_000) for tenth in range(20)]
    slow = [(2 + tenth / 10, 19_000_000 + tenth * 1_000) for tenth in range(20)]
    assert metered(*fast, *slow).lately_bits_per_second == pytest.approx(80_000, rel=0.1)


@given(steps)
def test_no_more_is_told_than_has_come(moves: list[tuple[float, int]]) -> None:
    meter, at_s, total = Meter(), 0.0, 0
    meter.add(at_s, total)
    for step_s, count in moves:
        at_s, total = at_s + step_s, total + count
        meter.add(at_s, total)
    assert meter.total_bytes == total
    assert meter.seconds == pytest.approx(at_s)
    assert 0 <= meter.bits_per_second * meter.seconds * 0.75 <= total * 8 * 1.001
    assert meter.lately_bits_per_second >= 0


def test_what_a_peer_says_may_not_fall() -> None:
    assert metered((0.0, 0), (2.0, 2_000_000), (1.0, 9), (3.0, 9)).total_bytes == 2_000_000
    assert metered((0.0, 0), (2.0, 2_000_000), (1.0, 9)).bits_per_second == pytest.approx(8e6)


def test_round_trips() -> None:
    assert trips([]) == Trips(None, None, 0)
    assert trips([0.3, 0.1, 0.2]) == Trips(0.2, 0.3, 3)


def test_segments_are_those_since_the_first_look() -> None:
    before = {3: Segments(100, 5), 4: Segments(7, 0), 9: Segments(5, 5)}
    after = {3: Segments(150, 6), 4: Segments(2, 0), 5: Segments(20, 2)}
    assert between(before, after) == Segments(70, 3)  # 4 is another stream by now, 9 has ended


def test_the_document_has_units_in_its_names_and_null_for_what_is_not_known() -> None:
    result = Result(
        public_key=bytes(32),
        path="udp",
        address="[2001:db8::1]:33445",
        path_changed=False,
        road="tuntox",
        road_reason="--road tuntox",
        idle=trips([0.0004]),
        down=Direction(metered((0.0, 0), (2.0, 2_000_000)), trips([0.1]), None),
        up=Direction(metered((0.0, 0), (2.0, 1_000_000)), trips([]), Segments(10, 1)),
        probe_loss=None,
    )
    assert result.document() == {
        "schema": 1,
        "public_key": "0" * 64,
        "path": "udp",
        "address": "[2001:db8::1]:33445",
        "path_changed": False,
        "road": "tuntox",
        "road_reason": "--road tuntox",
        "idle": {"rtt_p50_seconds": 0.0004, "rtt_worst_seconds": 0.0004, "rtt_answers": 1},
        "down": {
            "bits_per_second": 8_000_000,
            "bytes": 2_000_000,
            "seconds": 2.0,
            "rtt_p50_seconds": 0.1,
            "rtt_worst_seconds": 0.1,
            "rtt_answers": 1,
            "tcp_segments": None,
            "tcp_segments_resent": None,
        },
        "up": {
            "bits_per_second": 4_000_000,
            "bytes": 1_000_000,
            "seconds": 2.0,
            "rtt_p50_seconds": None,
            "rtt_worst_seconds": None,
            "rtt_answers": 0,
            "tcp_segments": 10,
            "tcp_segments_resent": 1,
        },
        "probe_loss": None,
    }
