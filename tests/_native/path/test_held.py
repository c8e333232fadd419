"""What is held for a friend that is offline: the newest TCP segment of each flow, and nothing else."""

import os
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP

from toxvpn._native.path.packets import DropReason, Sending
from toxvpn.testing.craft import dissect, ip_header, offloaded, tcp_packet, udp_packet, unfinished
from toxvpn.testing.memory_path import FRIENDS, MemoryPath, address_pair
from toxvpn.testing.memory_tun import VnetHeader
from toxvpn.wire.ip import frame_vpn

versions = pytest.mark.parametrize("version", [4, 6])
FLOWS = 1024
LARGEST = 1500
BEHIND = ("10.9.0.0/24", "10.9.8.0/24", "fd00:9::/64")
WORTH = {"A": 1, "PA": 2, "FA": 2, "RA": 3}


ANSWER = {
    number: udp_packet(ip_header(6, *reversed(address_pair(6, number))), b"hello") for number in FRIENDS
}


class Path(MemoryPath):
    """Its friend 3 is offline; `back` returns what it gets when it is online again, and answers."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.datapath.set_online(3, False)

    def offer(self, packet: bytes, vnet: VnetHeader | None = None) -> None:
        assert self.outbound(packet, vnet) == []

    def back(self, friend_number: int = 3) -> list[bytes]:
        self.datapath.set_online(friend_number, True)
        sent = [data[5:] for number, data in self.carrier.sent if number == friend_number]
        self.inbound(ANSWER.get(friend_number, ANSWER[3]), friend_number=friend_number)
        self.carrier.sent.clear()
        return sent


@pytest.fixture
def path() -> Iterator[Path]:
    with Path() as made:
        yield made


def header(version: int, friend_number: int = 3, **fields: Any) -> IP:
    return ip_header(version, *address_pair(version, friend_number), **fields)


def segment(version: int = 6, payload: bytes = b"data", port: int = 40000, **fields: Any) -> bytes:
    return tcp_packet(header(version), payload, sport=port, **fields)


@versions
def test_the_newest_segment_of_each_flow_is_sent_when_the_friend_is_back(path: Path, version: int) -> None:
    newest = [segment(version, bytes([port]), port=port, seq=2) for port in (1, 2, 3)]
    for port in (3, 2, 1):
        path.offer(segment(version, b"older", port=port, seq=1))
    for packet in newest:
        path.offer(packet)
    path.carrier.flush_inbound()
    assert path.carrier.sent == []
    flushes = path.carrier.flushes
    assert sorted(path.back()) == sorted(newest)
    assert path.carrier.flushes > flushes
    assert path.datapath.counters(3).tx_packets == 2 * 3, "when it was back, and when it first spoke"
    assert path.back() == []


@versions
def test_it_is_sent_as_the_kernel_means_it(path: Path, version: int) -> None:
    whole = segment(version, b"odd length.")
    path.offer(*unfinished(whole))
    assert path.back() == [whole]
    path.datapath.set_online(3, False)
    payload = os.urandom(5000)
    path.offer(*offloaded(segment(version, payload), 1000))
    [first] = map(dissect, path.back())
    assert first.valid and first.payload == payload[:1000]


def test_a_reset_outlives_data_and_data_outlives_an_acknowledgement(path: Path) -> None:
    data, end, reset = segment(), segment(payload=b"", flags="FA"), segment(payload=b"", flags="RA")
    for offered, held in [
        ([data, segment(payload=b"", flags="A")], data),
        ([segment(payload=b"", flags="A"), data], data),
        ([data, end, segment(payload=b"", flags="A")], end),
        ([reset, data, end], reset),
    ]:
        for packet in offered:
            path.offer(packet)
        assert path.back() == [held]
        path.datapath.set_online(3, False)


def test_a_new_flow_has_nothing_of_an_older_one_with_its_ports(path: Path) -> None:
    path.offer(segment(port=1))
    path.offer(segment(port=2))
    path.offer(segment(port=1, payload=b"", flags="S"))
    assert path.back() == [segment(port=2)]


@versions
def test_nothing_but_tcp_is_held(path: Path, version: int) -> None:
    path.offer(udp_packet(header(version), b"late"))
    path.offer(*offloaded(udp_packet(header(version), bytes(3000)), 1000))
    assert path.back() == []


def test_each_friend_has_its_own(path: Path) -> None:
    path.datapath.set_online(4, False)
    to_four = tcp_packet(header(6, 4), b"four")
    path.offer(segment())
    path.offer(to_four)
    assert path.back(4) == [to_four]
    assert path.back(3) == [segment()]


def test_the_sender_is_told_all_the_same(path: Path) -> None:
    path.offer(segment())
    assert path.drops(3) == {DropReason.OFFLINE: 1}
    [(_, answer)] = path.tun.written()
    assert answer[40] == 1  # ICMPv6: destination unreachable


def test_a_removed_friend_gets_nothing_and_neither_does_who_has_its_number(path: Path) -> None:
    path.offer(segment())
    path.datapath.remove_friend(3)
    assert path.back() == []


def test_a_path_that_has_become_narrower_is_heeded(path: Path) -> None:
    path.offer(segment(4, bytes(1200)))
    path.datapath.set_mtu(3, 1000)
    assert path.back() == []
    assert path.drops(3)[DropReason.TOO_BIG] == 1


def test_flows_and_sizes_are_bounded(path: Path) -> None:
    packet = bytearray(segment())
    for port in range(1, 2 * FLOWS):
        packet[40:42] = port.to_bytes(2, "big")
        path.offer(bytes(packet))
    held = path.back()
    assert 0.8 * FLOWS < len(held) <= FLOWS
    path.datapath.set_online(3, False)
    path.offer(tcp_packet(header(4, flags=0), bytes(LARGEST)))
    assert path.back() == []


def test_all_friends_together_are_bounded(path: Path) -> None:
    """16 MiB; what is forgotten makes room."""
    friends = range(10, 26)
    packet = bytearray(segment(payload=bytes(1300)))
    for number in friends:
        path.datapath.set_route(ip_network(f"fd74:6f78::{number:x}:0/112"), number)
        packet[36:40] = bytes([0, number, 0, 1])
        for port in range(1, FLOWS + 1):
            packet[40:42] = port.to_bytes(2, "big")
            path.offer(bytes(packet))
    path.offer(segment())
    assert path.back() == []
    held = 0
    for number in friends:
        path.datapath.set_online(number, True)
        held += sum(len(data) for _, data in path.carrier.sent)
        path.carrier.sent.clear()
        path.datapath.remove_friend(number)
    assert 15 << 20 < held <= 16 << 20
    path.datapath.set_online(3, False)
    path.offer(segment())
    assert path.back() == [segment()]


offers = st.tuples(st.integers(1, 6), st.sampled_from(["A", "PA", "FA", "RA", "S"]), st.integers(0, 255))


@given(st.lists(offers, max_size=40))
@settings(max_examples=60)
def test_it_holds_what_the_rule_says(offered: list[tuple[int, str, int]]) -> None:
    expected: dict[int, tuple[int, bytes]] = {}
    with Path() as path:
        for port, flags, mark in offered:
            packet = segment(payload=b"x" if flags == "PA" else b"", port=port, flags=flags, seq=mark)
            path.offer(packet)
            if flags == "S":
                expected.pop(port, None)
            elif WORTH[flags] >= expected.get(port, (0, b""))[0]:
                expected[port] = (WORTH[flags], packet)
        assert sorted(path.back()) == sorted(packet for _, packet in expected.values())


# -- one that is online, and silent

SECOND = 1_000_000_000


class Silent(MemoryPath):
    """Nothing has come from its friend 3 yet, or for as long as `wait` says."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._now_s = 1000
        self.wait(0)

    def wait(self, seconds: int) -> None:
        self._now_s += seconds
        self.carrier.stop_clock(self._now_s * SECOND)

    def sent(self) -> list[bytes]:
        sent = [data[5:] for _, data in self.carrier.sent]
        self.carrier.sent.clear()
        return sent

    def hear(self) -> list[bytes]:
        """What is sent when something comes from the friend."""
        self.inbound(ANSWER[3])
        return self.sent()


@pytest.fixture
def silent() -> Iterator[Silent]:
    with Silent() as made:
        assert made.hear() == []
        yield made


@versions
def test_what_a_silent_friend_may_have_missed_is_sent_again_when_it_speaks(
    silent: Silent, version: int
) -> None:
    silent.wait(2)
    old, new, other = (segment(version, bytes([number]), port=number // 2) for number in (2, 3, 4))
    for packet in (old, new, other):
        assert [sent for _, sent in silent.outbound(packet)] == [packet]
    silent.wait(2)
    assert sorted(silent.hear()) == sorted([new, other])
    assert silent.drops(3) == {}
    silent.wait(2)
    assert silent.hear() == []


def test_a_repetition_just_before_the_friend_speaks_is_sent_again(silent: Silent) -> None:
    """Two kernels that lost each other at the same time also repeat at the same time."""
    silent.wait(2)
    silent.outbound(segment(payload=b"first"))
    silent.wait(3)
    silent.outbound(segment(payload=b"again"))
    assert silent.hear() == [segment(payload=b"again")]


def test_what_is_answered_at_once_is_not_sent_again(silent: Silent) -> None:
    silent.wait(100)
    assert len(silent.outbound(segment())) == 1
    silent.wait(1)
    assert silent.hear() == []
    silent.wait(100)
    assert silent.hear() == []


def test_one_that_speaks_costs_nothing(silent: Silent) -> None:
    for _ in range(5):
        silent.wait(1)
        silent.outbound(segment())
        assert silent.hear() == []


def test_another_path_to_a_silent_friend_is_tried_at_once(silent: Silent) -> None:
    """As when a relay takes the place of the direct path, or the other way round."""
    silent.wait(2)
    silent.outbound(segment())
    silent.datapath.set_online(3, True)
    assert silent.sent() == [segment()]
    silent.wait(2)
    assert silent.hear() == [segment()], "it may have been lost as well"


def test_of_a_super_packet_the_first_piece_is_sent_again(silent: Silent) -> None:
    silent.wait(2)
    whole = segment(payload=os.urandom(5000))
    pieces = [sent for _, sent in silent.outbound(*offloaded(whole, 1000))]
    assert b"".join(dissect(piece).payload for piece in pieces) == whole[60:]
    silent.wait(2)
    assert silent.hear() == pieces[:1]


def test_one_that_is_away_gets_it_when_it_is_back_and_not_before(silent: Silent) -> None:
    silent.wait(2)
    silent.outbound(segment())
    silent.datapath.set_online(3, False)
    silent.wait(2)
    assert silent.hear() == []
    silent.outbound(segment(payload=b"newer"))
    silent.datapath.set_online(3, True)
    assert silent.sent() == [segment(payload=b"newer")]


# -- a new number


@versions
def test_a_friend_with_a_new_number_keeps_everything(path: Path, version: int) -> None:
    ours, theirs = address_pair(version)
    path.datapath.set_online(3, True)
    path.datapath.set_policy(3, [])
    for network in BEHIND:
        path.datapath.allow_destination(ip_network(network), 3)
    opening = tcp_packet(header(version), b"", flags="S", sport=1, dport=2)
    assert path.outbound(opening) == [(3, opening)]
    path.datapath.set_online(3, False)
    kept = segment(version)
    path.offer(kept)
    path.tun.written()
    path.datapath.renumber(3, 1)
    assert path.datapath.counters(3).tx_packets == 0
    assert path.datapath.counters(1).tx_packets == 1
    assert path.back(1) == [kept]
    answer = tcp_packet(ip_header(version, theirs, ours), b"", flags="SA", sport=2, dport=1)
    assert path.inbound(answer, friend_number=3) == []
    assert [packet for _, packet in path.inbound(answer, friend_number=1)] == [answer]  # its flow is known
    assert path.carrier.sent.pop() == (1, frame_vpn(kept))
    stranger = tcp_packet(ip_header(version, theirs, ours), b"", flags="S", sport=9, dport=9)
    assert path.inbound(stranger, friend_number=1) == []
    assert path.outbound(opening) == [(1, opening)]
    for network in BEHIND:
        assert path.datapath.sending_to(1, ip_network(network)[1]) is Sending.ALLOWED
        assert path.datapath.sending_to(3, ip_network(network)[1]) is Sending.FORBIDDEN


def test_a_new_number_is_a_number() -> None:
    with Path() as path, pytest.raises(ValueError):
        path.datapath.renumber(3, 1 << 20)


@pytest.fixture
def returned(silent: Silent) -> Silent:
    """It was away, and has just been sent what was held for it."""
    silent.wait(10)
    silent.datapath.set_online(3, False)
    silent.outbound(segment())
    silent.datapath.set_online(3, True)
    assert silent.sent() == [segment()]
    return silent


def test_what_may_have_come_too_early_is_sent_again_at_the_first_word(returned: Silent) -> None:
    """A friend that has just started does not know our addresses yet."""
    assert returned.hear() == [segment()]
    returned.wait(10)
    assert returned.hear() == []


def test_it_is_sent_again_when_the_friend_is_heard_otherwise(returned: Silent) -> None:
    returned.datapath.heard(3)
    assert returned.sent() == [segment()]
    returned.datapath.heard(3)
    assert returned.sent() == [], "once a second"
    returned.wait(1)
    returned.datapath.heard(3)
    assert returned.sent() == [segment()]
    assert returned.hear() == [segment()]
    returned.wait(10)
    returned.datapath.heard(3)
    assert returned.sent() == []


def test_one_that_is_heard_and_away_gets_nothing(returned: Silent) -> None:
    returned.datapath.set_online(3, False)
    returned.datapath.heard(3)
    assert returned.sent() == []
