"""Small packets share one Tox packet, in order and with all that each would have met alone."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP

from toxvpn._native.path.datapath import Datapath
from toxvpn._native.path.packets import DropReason, PacketFormat
from toxvpn._native.results import SendResult
from toxvpn.testing.craft import ip_header, offloaded, tcp_packet, udp_packet
from toxvpn.testing.memory_carrier import MemoryCarrier
from toxvpn.testing.memory_path import FRIENDS, OWN, MemoryPath, address_pair
from toxvpn.testing.memory_tun import MemoryTun
from toxvpn.wire.bundle import MAX_PACKETS, join, split_untrusted
from toxvpn.wire.ip import frame_vpn, unframe_vpn_untrusted

versions = pytest.mark.parametrize("version", [4, 6])


def header(version: int, friend_number: int = 3, **fields: Any) -> IP:
    return ip_header(version, *address_pair(version, friend_number), **fields)


def from_friend(version: int, friend_number: int = 3) -> IP:
    own, friend = address_pair(version, friend_number)
    return ip_header(version, friend, own)


class Path(MemoryPath):
    """A path with two friends that take bundles."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for friend_number in FRIENDS:
            self.datapath.set_bundles(friend_number, True)

    def batch(self, *packets: bytes) -> list[tuple[int, bytes]]:
        """What goes to friends when these are ready together."""
        for packet in packets:
            self.tun.inject(packet)
        self.datapath.read_tun()
        sent = list(self.carrier.sent)
        self.carrier.sent.clear()
        return sent


@pytest.fixture
def path() -> Iterator[Path]:
    with Path() as made:
        yield made


@versions
def test_small_packets_go_together(path: Path, version: int) -> None:
    packets = [udp_packet(header(version), bytes([number]) * 200) for number in range(5)]
    assert path.batch(*packets) == [(3, frame_vpn(b"".join(packets)))]
    assert path.carrier.flushes == 1
    counters = path.datapath.counters(3)
    assert (counters.tx_packets, counters.tx_bytes) == (5, 5 * len(packets[0]))


def test_only_what_is_read_together_is_joined(path: Path) -> None:
    packets = [udp_packet(header(4), bytes([number])) for number in range(3)]
    assert [path.batch(packet) for packet in packets] == [[(3, frame_vpn(packet))] for packet in packets]


def test_a_friend_that_takes_none_gets_none(path: Path) -> None:
    packets = [udp_packet(header(4), bytes([number])) for number in range(3)]
    path.datapath.set_bundles(3, False)
    assert path.batch(*packets) == [(3, frame_vpn(packet)) for packet in packets]


def test_one_that_is_removed_takes_none_until_it_says_so_again(path: Path) -> None:
    path.datapath.remove_friend(3)
    path.datapath.set_online(3, True)
    path.datapath.set_route(ip_network(FRIENDS[3][0]), 3)
    assert len(path.batch(udp_packet(header(4), b"a"), udp_packet(header(4), b"b"))) == 2


def test_one_with_a_new_number_takes_them_still(path: Path) -> None:
    path.datapath.renumber(3, 7)
    assert len(path.batch(udp_packet(header(4), b"a"), udp_packet(header(4), b"b"))) == 1


def test_each_friend_gets_its_own_packets_in_order(path: Path) -> None:
    to_3 = [udp_packet(header(4, 3), bytes([number])) for number in range(3)]
    to_4 = [udp_packet(header(4, 4), bytes([number])) for number in range(3)]
    sent = path.batch(to_3[0], to_3[1], to_4[0], to_3[2], to_4[1], to_4[2])
    for friend_number, expected in ((3, to_3), (4, to_4)):
        got = [
            packet for number, data in sent if number == friend_number for packet in split_untrusted(data[5:])
        ]
        assert got == expected


def test_a_large_packet_to_one_friend_leaves_the_bundle_of_another_open(path: Path) -> None:
    small = [udp_packet(header(4, 3), bytes([number])) for number in range(2)]
    large = udp_packet(header(4, 4), bytes(1200))
    assert path.batch(small[0], large, small[1]) == [(4, frame_vpn(large)), (3, frame_vpn(b"".join(small)))]


lengths = st.lists(st.tuples(st.sampled_from([4, 6]), st.integers(0, 1300)), min_size=1, max_size=40)


@given(lengths, st.sampled_from([1280, 1300, 1368]))
def test_it_is_the_reference(packets: list[tuple[int, int]], mtu: int) -> None:
    made = [
        udp_packet(header(version, flags=0), bytes([mark & 255]) * min(payload, mtu - 48))
        for mark, (version, payload) in enumerate(packets)
    ]
    with Path() as path:
        path.datapath.set_mtu(3, mtu)
        assert path.batch(*made) == [(3, frame_vpn(bundle)) for bundle in join(made, mtu)]
        assert path.datapath.counters(3).tx_packets == len(made)
        with Path() as far:
            far.datapath.remove_friend(3)
            for own, theirs in zip(OWN, FRIENDS[3], strict=True):
                far.datapath.remove_own_address(ip_network(own))
                far.datapath.add_own_address(ip_network(theirs))
                far.datapath.allow_source(ip_network(own), 3)
            for bundle in join(made, mtu):
                far.carrier.deliver(3, frame_vpn(bundle))
            far.carrier.flush_inbound()
            assert far.datapath.counters(3).rx_packets == len(made)
            assert far.drops(3) == {}


@versions
@pytest.mark.parametrize("make", [tcp_packet, udp_packet])
def test_the_segments_of_a_super_packet_are_joined(path: Path, version: int, make: Any) -> None:
    whole = make(header(version), bytes(range(256)) * 8)
    with MemoryPath() as alone:
        expected = [packet for _, packet in alone.outbound(*offloaded(whole, 200))]
    path.tun.inject(*offloaded(whole, 200))
    path.datapath.read_tun()
    assert path.carrier.sent == [(3, frame_vpn(bundle)) for bundle in join(expected, 1368)]


@pytest.mark.parametrize("room", [0, 1, 2])
def test_what_waited_for_room_is_joined_too(path: Path, room: int) -> None:
    packets = [udp_packet(header(4), bytes([number]) * 200) for number in range(20)]
    path.carrier.room = 0
    path.carrier.stop_clock(1_000_000)
    assert path.batch(*packets) == []
    sent: list[bytes] = []
    for _ in range(20):
        path.carrier.room = 1 + room
        path.carrier.flush_inbound()
        sent += [data[5:] for _, data in path.carrier.sent]
        path.carrier.sent.clear()
    assert b"".join(sent) == b"".join(packets)
    assert len(sent) < 8
    assert path.datapath.counters(3).tx_packets == 20
    assert path.drops(3) == {}


@pytest.mark.parametrize("result", [SendResult.OFFLINE, SendResult.QUEUE_FULL])
def test_a_bundle_that_is_refused_is_as_many_lost_packets(path: Path, result: SendResult) -> None:
    path.carrier.result = result
    path.batch(*[udp_packet(header(4), bytes([number])) for number in range(3)])
    reason = DropReason.OFFLINE if result is SendResult.OFFLINE else DropReason.QUEUE_FULL
    assert path.drops(3) == {reason: 3}
    assert path.datapath.counters(3).tx_packets == 0


def test_two_paths_over_a_carrier_do_not_share_a_bundle(path: Path) -> None:
    with MemoryTun() as tun:
        stack = Datapath(path.carrier, tun.fd, PacketFormat.STACK, mtu=1372, vnet_hdr=True)
        stack.set_route(ip_network(FRIENDS[3][1]), 3)
        stack.set_online(3, True)
        stack.set_bundles(3, True)
        packets = [udp_packet(header(6), bytes([number])) for number in range(4)]
        path.carrier.room = 0
        path.carrier.stop_clock(1_000_000)
        for packet in packets:
            tun.inject(packet)
            path.tun.inject(packet)
        stack.read_tun()
        path.datapath.read_tun()
        path.carrier.room = 100
        path.carrier.flush_inbound()
        together = {data[:1]: b"" for _, data in path.carrier.sent}
        for _, data in path.carrier.sent:
            together[data[:1]] += data[5:] if data[0] == PacketFormat.VPN else data[1:]
        assert together == {b"\xc8": b"".join(packets), b"\xc9": b"".join(packets)}
        stack.close()


# -- in


@versions
def test_a_bundle_reaches_the_kernel_as_its_packets(path: Path, version: int) -> None:
    packets = [
        udp_packet(from_friend(version), bytes([number]), sport=number + 1) for number in range(MAX_PACKETS)
    ]
    path.carrier.deliver(3, frame_vpn(b"".join(packets)))
    path.carrier.flush_inbound()
    assert path.tun.packets() == packets
    assert path.datapath.counters(3).rx_packets == MAX_PACKETS


def test_the_stack_takes_bundles_too() -> None:
    with MemoryTun() as tun:
        carrier = MemoryCarrier()
        datapath = Datapath(carrier, tun.fd, PacketFormat.STACK, mtu=1372, vnet_hdr=True)
        datapath.add_own_address(ip_network(OWN[1]))
        datapath.allow_source(ip_network(FRIENDS[3][1]), 3)
        packets = [udp_packet(from_friend(6), bytes([number]), sport=number + 1) for number in range(3)]
        carrier.deliver(3, b"\xc9" + b"".join(packets))
        carrier.deliver(3, b"\xc9" + packets[0] + udp_packet(from_friend(4), b"x"))
        carrier.flush_inbound()
        assert tun.packets() == packets
        assert datapath.counters(3).drops[DropReason.MALFORMED] == 1
        datapath.close()


def test_each_packet_of_a_bundle_is_judged_by_itself(path: Path) -> None:
    good = [udp_packet(from_friend(4), bytes([number]), sport=number + 1) for number in range(2)]
    foreign = udp_packet(from_friend(4, 4), b"x")
    elsewhere = udp_packet(ip_header(4, FRIENDS[3][0], "192.168.1.1"), b"x")
    short_header = bytes(IP(src=FRIENDS[3][0], dst=OWN[0], ihl=15, len=28)) + bytes(8)
    path.carrier.deliver(3, frame_vpn(good[0] + foreign + elsewhere + short_header + good[1]))
    path.carrier.flush_inbound()
    assert path.tun.packets() == good
    assert path.drops(3) == {
        DropReason.SOURCE_NOT_ALLOWED: 1,
        DropReason.DESTINATION_NOT_ALLOWED: 1,
        DropReason.MALFORMED: 1,
    }


@pytest.mark.parametrize(
    "rest", [b"\0", b"\x45", udp_packet(from_friend(4), b"x")[:-1], udp_packet(from_friend(6), b"x")]
)
def test_a_bundle_that_does_not_add_up_is_dropped_as_a_whole(path: Path, rest: bytes) -> None:
    path.carrier.deliver(3, frame_vpn(udp_packet(from_friend(4), b"x") + rest))
    path.carrier.flush_inbound()
    assert path.tun.packets() == []
    assert path.drops(3) == {DropReason.MALFORMED: 1}


def test_a_bundle_of_too_many_packets_is_dropped_as_a_whole(path: Path) -> None:
    path.carrier.deliver(3, frame_vpn(udp_packet(from_friend(4), b"x") * (MAX_PACKETS + 1)))
    path.carrier.flush_inbound()
    assert path.tun.packets() == []
    assert path.drops(3) == {DropReason.MALFORMED: 1}


pieces = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([udp_packet(from_friend(version), b"x") for version in (4, 6)]),
        st.sampled_from([udp_packet(from_friend(version, 4), b"x") for version in (4, 6)]),
    ),
    max_size=18,
)


@given(pieces, st.sampled_from([b"\xc8\0\0\x08\0", b"\xc8\0\0\x86\xdd"]))
def test_of_noise_only_what_the_reference_finds_passes(noise: list[bytes], frame: bytes) -> None:
    data = frame + b"".join(noise)
    own = {udp_packet(from_friend(version), b"x") for version in (4, 6)}
    expected = [packet for packet in unframe_vpn_untrusted(data) if packet in own]
    with Path(udp_offload=False) as path:
        path.carrier.deliver(3, data)
        path.carrier.flush_inbound()
        assert path.tun.packets() == expected
