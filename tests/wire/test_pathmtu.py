"""The search for a path's MTU, over paths that lose what is too large for them, and other things too."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.ip import CUSTOM_PACKET_BYTES
from toxvpn.wire.pathmtu import (
    ACKNOWLEDGEMENT_BYTES,
    AT_ONCE,
    CONFIRM_S,
    LADDER,
    NO_ROOM_S,
    PACKET_ID,
    PAUSES,
    RAISE_S,
    ROUNDS_S,
    PathMtu,
    Probe,
    ProbeKind,
    acknowledgement,
    decode_untrusted,
    encode,
)

SEARCH_S = sum(ROUNDS_S) + sum(len(LADDER) / AT_ONCE * wait_s / PAUSES for wait_s in ROUNDS_S[2:])


class Path:
    """A peer behind a path: acknowledges at once what `carries` lets through."""

    def __init__(self, limit: int = CUSTOM_PACKET_BYTES, packet_bytes: int = CUSTOM_PACKET_BYTES) -> None:
        self.now = 1000.0
        self.limit = limit
        self.sent: list[int] = []
        self.carries: Callable[[int], bool] = lambda size: True
        self.room = 1000
        self.refused = 0
        self.search = PathMtu(packet_bytes)

    def exchange(self) -> None:
        probes = self.search.next_probes()
        if probes[self.room :]:
            self.refused += 1
            self.search.put_back(probes[self.room :], self.now)
        for probe in probes[: self.room]:
            self.sent.append(probe.size_bytes)
            if self.carries(probe.size_bytes) and probe.size_bytes <= self.limit:
                self.search.acknowledged(probe.token, probe.size_bytes, self.now)

    def start(self) -> None:
        self.search.search(self.now)
        self.exchange()

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.search.next_timer()) is not None and due <= until:
            self.now = due
            self.search.handle_timer(self.now)
            self.exchange()
        self.now = until

    def settle(self) -> None:
        while self.search.searching:
            assert self.now < 1100
            self.run(0.1)


class Queue:
    """Before a slow link: what it has no room for gets lost."""

    def __init__(self, path: Path, mbit_s: float, room_bytes: int) -> None:
        self._path = path
        self._bytes_per_s = mbit_s * 125_000
        self._room_bytes = room_bytes
        self._waiting_bytes = 0.0
        self._at_s = path.now

    def takes(self, size: int) -> bool:
        gone = (self._path.now - self._at_s) * self._bytes_per_s
        self._at_s = self._path.now
        self._waiting_bytes = max(0.0, self._waiting_bytes - gone)
        fits = self._waiting_bytes + size <= self._room_bytes
        self._waiting_bytes += size * fits
        return fits


def best_below(limit: int) -> int:
    return next((size for size in LADDER if size <= limit), CUSTOM_PACKET_BYTES)


# -- packets


@given(st.builds(Probe, st.sampled_from(ProbeKind), st.integers(0, 0xFFFF), st.sampled_from(LADDER)))
def test_what_is_encoded_is_decoded(probe: Probe) -> None:
    packet = encode(probe)
    assert packet[0] == PACKET_ID
    assert len(packet) == (probe.size_bytes if probe.kind is ProbeKind.PROBE else ACKNOWLEDGEMENT_BYTES)
    assert decode_untrusted(packet) == probe


@given(st.binary(max_size=1400))
def test_any_bytes_are_a_probe_of_their_own_size_or_nothing(packet: bytes) -> None:
    probe = decode_untrusted(packet)
    if probe is not None and probe.kind is ProbeKind.PROBE:
        assert probe.size_bytes == len(packet)
        assert len(encode(acknowledgement(probe))) == ACKNOWLEDGEMENT_BYTES


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes([PACKET_ID]),
        encode(Probe(ProbeKind.PROBE, 1, 1200))[:-1],
        encode(Probe(ProbeKind.PROBE, 1, 1200)) + b"\0",
        encode(Probe(ProbeKind.ACKNOWLEDGEMENT, 1, 1200)) + b"\0",
        bytes([PACKET_ID, 2, 0, 1, 0x04, 0xB0]),
        bytes([PACKET_ID, 1, 0, 1, 0xFF, 0xFF]),
        bytes([PACKET_ID, 1, 0, 1, 0, 1]),
    ],
    ids=["empty", "cut", "shorter than it says", "longer", "a long answer", "kind", "too large", "too small"],
)
def test_malformed_packets_are_nothing(packet: bytes) -> None:
    assert decode_untrusted(packet) is None


# -- the search


def test_a_path_that_carries_everything_is_asked_once() -> None:
    path = Path()
    path.start()
    path.run(CONFIRM_S - 1)
    assert path.sent == [CUSTOM_PACKET_BYTES]
    assert path.search.packet_bytes == CUSTOM_PACKET_BYTES


@given(st.integers(500, CUSTOM_PACKET_BYTES))
def test_a_narrow_path_is_found_within_eight_bytes_or_the_next_rung(limit: int) -> None:
    path = Path(limit)
    path.start()
    path.run(SEARCH_S)
    assert path.search.packet_bytes == best_below(limit)
    if limit >= 1200:
        assert limit - path.search.packet_bytes < 8


def test_a_narrow_path_is_in_force_before_the_search_is_over() -> None:
    path = Path(1225)
    path.start()
    path.run(1.5)
    assert path.search.searching
    assert path.search.packet_bytes == best_below(1225)


@given(st.integers(500, CUSTOM_PACKET_BYTES), st.data())
def test_a_lost_probe_does_not_mislead(limit: int, data: st.DataObject) -> None:
    """Whichever it is."""
    path = Path(limit)
    lost = data.draw(st.integers(0, 70))
    path.carries = lambda size: len(path.sent) - 1 != lost
    path.start()
    path.run(SEARCH_S)
    assert path.search.packet_bytes == best_below(limit)


@given(st.integers(500, CUSTOM_PACKET_BYTES), st.sampled_from([0.5, 1, 10]))
def test_a_queue_that_holds_few_packets_does_not_mislead(limit: int, mbit_s: float) -> None:
    path = Path(limit)
    path.carries = Queue(path, mbit_s, room_bytes=6000).takes
    path.start()
    path.run(SEARCH_S)
    assert path.search.packet_bytes == best_below(limit)


@given(st.integers(500, CUSTOM_PACKET_BYTES))
def test_what_there_is_no_room_for_is_tried_again(limit: int) -> None:
    path = Path(limit)
    path.room = 1
    path.start()
    path.settle()
    assert path.search.packet_bytes == best_below(limit)


def test_without_room_a_search_finds_nothing_and_goes_on() -> None:
    path = Path(1225)
    path.start()
    path.run(1.01)
    assert len(path.sent) == 2 + AT_ONCE
    path.room = 0
    path.run(60)
    assert path.search.searching
    assert path.refused <= 60 / NO_ROOM_S + 1
    assert path.search.packet_bytes == CUSTOM_PACKET_BYTES
    path.room = 2
    path.settle()
    assert path.search.packet_bytes == best_below(1225)


def test_a_path_without_room_for_the_confirmation_is_not_searched() -> None:
    path = Path()
    path.start()
    path.room = 0
    path.run(CONFIRM_S + 60)
    assert not path.search.searching
    path.room = 1
    path.run(1)
    assert path.sent == [CUSTOM_PACKET_BYTES] * 2


def test_what_waits_for_room_is_forgotten_once_the_answer_is_known() -> None:
    path = Path()
    path.search.search(path.now)
    path.search.put_back(path.search.next_probes(), path.now)
    path.search.acknowledged(1, CUSTOM_PACKET_BYTES, path.now)
    assert path.search.next_probes() == []
    assert path.search.next_timer() == path.now + CONFIRM_S


def test_one_lost_probe_does_not_narrow_the_path_for_a_moment() -> None:
    path = Path()
    path.carries = lambda size: len(path.sent) > 1
    path.start()
    assert path.search.packet_bytes == CUSTOM_PACKET_BYTES
    path.run(1.0)
    assert path.sent == [CUSTOM_PACKET_BYTES] * 2
    assert path.search.packet_bytes == CUSTOM_PACKET_BYTES


@pytest.mark.parametrize("known", [CUSTOM_PACKET_BYTES, 1221])
def test_a_peer_that_acknowledges_nothing_changes_nothing(known: int) -> None:
    path = Path(0, packet_bytes=known)
    path.start()
    path.run(3600)
    assert path.search.packet_bytes == known


def test_a_path_that_becomes_narrow_is_noticed() -> None:
    path = Path()
    path.start()
    path.limit = 1225
    path.run(CONFIRM_S + SEARCH_S + 1.0)
    assert path.search.packet_bytes == best_below(1225)


def test_a_path_that_becomes_wide_is_noticed() -> None:
    path = Path(1225)
    path.start()
    path.run(SEARCH_S)
    path.limit = CUSTOM_PACKET_BYTES
    path.run(RAISE_S + CONFIRM_S)
    assert path.search.packet_bytes == CUSTOM_PACKET_BYTES


def test_a_confirmed_path_costs_one_packet_each_time() -> None:
    path = Path(1225)
    path.start()
    path.run(SEARCH_S)
    path.sent.clear()
    path.run(5 * CONFIRM_S)
    assert path.sent == [best_below(1225)] * 5


def test_acknowledgements_of_an_earlier_search_are_ignored() -> None:
    path = Path(1225)
    path.search.search(path.now)
    (old,) = path.search.next_probes()
    path.start()
    path.search.acknowledged(old.token, old.size_bytes, path.now)
    path.run(SEARCH_S)
    assert path.search.packet_bytes == best_below(1225)


def test_an_acknowledgement_of_a_size_that_was_never_sent_is_ignored() -> None:
    search = PathMtu()
    search.search(0.0)
    [probe] = search.next_probes()
    search.acknowledged(probe.token, LADDER[-1] + 1, 0.1)
    assert search.packet_bytes in LADDER and search.searching
    search.acknowledged(probe.token, probe.size_bytes, 0.2)
    assert search.packet_bytes == probe.size_bytes and not search.searching


def test_nothing_is_sent_while_the_peer_is_away() -> None:
    path = Path(1225)
    path.start()
    path.run(SEARCH_S)
    path.search.stop()
    path.search.acknowledged(1, CUSTOM_PACKET_BYTES, path.now)
    assert path.search.next_timer() is None
    assert path.search.next_probes() == []
    assert path.search.packet_bytes == best_below(1225)


def test_each_round_has_a_token_of_its_own_and_a_slow_answer_still_counts() -> None:
    search = PathMtu()
    search.search(1000.0)
    [first] = search.next_probes()
    search.handle_timer(1000.0 + ROUNDS_S[0])
    [second] = search.next_probes()
    assert first.token != second.token and first.size_bytes == second.size_bytes
    search.acknowledged(first.token, first.size_bytes, 1000.6)
    assert not search.searching and search.packet_bytes == CUSTOM_PACKET_BYTES
