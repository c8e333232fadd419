"""Packets that wait for room: none lost, none reordered in a flow, none stuck behind another flow."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, fragment

from toxvpn._native.path.datapath import Datapath
from toxvpn._native.path.packets import DropReason, PacketFormat
from toxvpn.testing.craft import dissect, ip_header, offloaded, tcp_packet, udp_packet
from toxvpn.testing.memory_carrier import MemoryCarrier
from toxvpn.testing.memory_path import FRIENDS, OWN, MemoryPath, address_pair
from toxvpn.testing.memory_tun import MemoryTun

MS = 1_000_000
MANY = 1_000_000
PAYLOAD = bytes(range(256)) * 200
versions = pytest.mark.parametrize("version", [4, 6])


def header(version: int, friend_number: int = 3, **fields: Any) -> IP:
    return ip_header(version, *address_pair(version, friend_number), **fields)


class Path(MemoryPath):
    """A path whose network takes as many packets as `let` allows."""

    def __init__(self, **settings: bool) -> None:
        super().__init__(**settings)
        self.carrier.room = 0
        self.carrier.stop_clock(MS)

    def wait(self, *packets: bytes) -> None:
        for packet in packets:
            self.tun.inject(packet)
            self.datapath.read_tun()

    def let(self, packets: int = MANY) -> list[bytes]:
        self.carrier.room = packets
        self.carrier.flush_inbound()
        sent = [data[5:] for _, data in self.carrier.sent]
        self.carrier.sent.clear()
        self.carrier.room = 0
        return sent


@pytest.fixture
def path() -> Iterator[Path]:
    with Path() as made:
        yield made


def test_a_congested_network_leaves_nothing_in_the_device(path: Path) -> None:
    packets = [udp_packet(header(4), bytes([number])) for number in range(5)]
    path.wait(*packets)
    assert path.carrier.sent == []
    assert path.let(2) == packets[:2]
    assert path.let() == packets[2:]
    assert path.drops(3) == {}
    assert path.datapath.counters(3).tx_packets == 5


@versions
@pytest.mark.parametrize("make", [tcp_packet, udp_packet])
@pytest.mark.parametrize("room", [0, 1, 7])
def test_a_super_packet_that_has_to_wait_goes_as_it_would_have(version: int, make: type, room: int) -> None:
    whole = make(header(version, id=65530), PAYLOAD)
    body, vnet = offloaded(whole, 1200)
    with MemoryPath() as free:
        expected = [packet for _, packet in free.outbound(body, vnet)]
    with Path() as path:
        path.carrier.room = room
        path.tun.inject(body, vnet)
        path.datapath.read_tun()
        sent = path.let(room)
        assert len(sent) == room
        sent += path.let(3)
        assert len(sent) == room + 3
        assert sent + path.let() == expected
        assert path.datapath.counters(3).tx_packets == len(expected)


@versions
def test_a_ping_goes_between_the_segments_of_a_super_packet(version: int) -> None:
    ping = udp_packet(header(version), b"ping")
    with Path() as path:
        path.tun.inject(*offloaded(tcp_packet(header(version), PAYLOAD), 1200))
        path.datapath.read_tun()
        path.let(10)
        path.wait(ping)
        assert ping in path.let(3)


def test_paths_over_one_carrier_share_by_turns() -> None:
    """The VPN and the fast road share the room: neither waits until the other has nothing more to send."""
    with Path() as vpn, MemoryTun(vnet_hdr=True) as tun:
        stack = Datapath(vpn.carrier, tun.fd, PacketFormat.STACK, mtu=1372, vnet_hdr=True)
        stack.set_online(4, True)
        stack.set_route(ip_network(FRIENDS[4][1]), 4)
        for number in range(50):
            tun.inject(tcp_packet(ip_header(6, OWN[1], FRIENDS[4][1]), bytes(1200), seq=number))
            vpn.tun.inject(tcp_packet(header(6), bytes(1200), seq=number))
        stack.read_tun()
        vpn.datapath.read_tun()
        vpn.carrier.room = 40
        stack.read_tun()  # whoever finds room shares it
        friends = [friend for friend, _ in vpn.carrier.sent]
        assert 15 < friends.count(3) < 25
        assert friends.count(3) + friends.count(4) == 40
        stack.close()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(1, 3000)), max_size=60))
def test_a_flow_keeps_its_order_whatever_waits(script: list[tuple[int, int, int]]) -> None:
    put: dict[int, list[bytes]] = {flow: [] for flow in range(4)}
    out: dict[int, list[bytes]] = {flow: [] for flow in range(4)}
    with Path() as path:

        def sort(packets: list[bytes]) -> None:
            for packet in map(dissect, packets):
                out[packet.transport.sport - 1000].append(packet.payload)

        for number, (flow, room, size) in enumerate(script):
            payload = number.to_bytes(2, "big") * size
            put[flow].append(payload)
            whole = udp_packet(header(4), payload, sport=1000 + flow)
            path.carrier.room = room
            path.tun.inject(*(offloaded(whole, 1000) if len(payload) > 1000 else (whole,)))
            path.datapath.read_tun()
            sort(path.let(room))
        sort(path.let())
        assert path.drops(3) == {}
    for flow in range(4):
        assert b"".join(out[flow]) == b"".join(put[flow])


def test_fragments_wait_with_their_flow(path: Path) -> None:
    """Later fragments have no ports: they follow the first."""
    small = udp_packet(header(4, id=1), bytes(500), sport=7)
    large = IP(udp_packet(header(4, id=2, flags=0), bytes(3000), sport=7))
    pieces = [bytes(piece) for piece in fragment(large, 1000)]
    last = udp_packet(header(4, id=3), bytes(500), sport=7)
    path.wait(small, *pieces, last)
    assert path.let() == [small, *pieces, last]


@versions
def test_segments_smaller_than_their_headers_wait_with_their_flow(version: int) -> None:
    """The bytes of a sent piece are overwritten by the headers of the next."""
    numbers = b"".join(number.to_bytes(8, "big") for number in range(64))
    last = udp_packet(header(version), b"the last")
    with Path() as path:
        path.carrier.room = 4
        path.tun.inject(*offloaded(udp_packet(header(version), numbers), 8))
        path.datapath.read_tun()
        path.wait(last)
        sent = path.let(4) + path.let()
    assert b"".join(dissect(packet).payload for packet in sent) == numbers + b"the last"


# -- what is told to slow down


def fill(path: Path, packets: int, **fields: int) -> None:
    for number in range(packets):
        path.wait(tcp_packet(header(4, **fields), bytes(1000), seq=number))


def let_slowly(path: Path, ms: int) -> list[bytes]:
    sent = []
    for at in range(1, ms):
        path.carrier.stop_clock((1 + at) * MS)
        sent += path.let(1)
    return sent


def test_a_flow_whose_packets_wait_long_loses_some(path: Path) -> None:
    fill(path, 300)
    sent = let_slowly(path, 290)
    late = path.drops(3)[DropReason.LATE]
    assert 1 < late < 10
    numbers = [dissect(packet).transport.seq for packet in sent]
    assert numbers == sorted(numbers)
    assert numbers[-1] == len(sent) + late - 1


@pytest.mark.parametrize("capable", [1, 2])
def test_who_understands_marks_gets_marks_instead(path: Path, capable: int) -> None:
    fill(path, 300, tos=capable)
    sent = [dissect(packet) for packet in let_slowly(path, 290)]
    assert path.drops(3) == {}
    assert 1 < sum(packet.ip.tos == 3 for packet in sent) < 10
    assert all(packet.valid for packet in sent)


def test_the_marks_of_ipv6_and_of_segments() -> None:
    with Path() as path:
        for _ in range(8):
            path.tun.inject(*offloaded(tcp_packet(header(6, tos=2), PAYLOAD), 1200))
            path.datapath.read_tun()
        sent = [dissect(packet) for packet in let_slowly(path, 290)]
        assert 1 < sum(packet.ip.tc == 3 for packet in sent) < 10
        assert all(packet.valid for packet in sent)


# -- bounds and ends


def test_the_wait_is_bounded_and_the_largest_flow_pays(path: Path) -> None:
    ping = udp_packet(header(4), b"ping")
    path.wait(ping)
    body, vnet = offloaded(tcp_packet(header(4), PAYLOAD), 1200)
    for _ in range(200):
        path.tun.inject(body, vnet)
        path.datapath.read_tun()
    lost = path.drops(3)[DropReason.QUEUE_FULL]
    sent = path.let()
    assert ping in sent
    assert len(sent) - 1 + lost == 200 * -(-len(PAYLOAD) // 1200)
    assert 7 << 20 < sum(map(len, sent)) < 9 << 20


def test_a_friend_that_is_removed_takes_along_what_waits_for_it(path: Path) -> None:
    theirs, others = udp_packet(header(4, 3), b"x"), udp_packet(header(4, 4), b"y")
    path.wait(theirs, others, theirs)
    path.datapath.remove_friend(3)
    assert path.let() == [others]
    assert path.drops(3) == {}  # a new friend of that number begins anew
    assert path.drops() == {DropReason.OFFLINE: 2}


def test_a_path_that_ends_takes_along_what_waits_for_it() -> None:
    carrier = MemoryCarrier()
    carrier.room = 0
    with MemoryTun(vnet_hdr=False) as tun:
        path = Datapath(carrier, tun.fd, PacketFormat.VPN, mtu=1368, vnet_hdr=False)
        path.set_online(3, True)
        path.set_route(ip_network(FRIENDS[3][0]), 3)
        tun.inject(udp_packet(header(4), b"x"))
        path.read_tun()
        path.close()
        again = Datapath(carrier, tun.fd, PacketFormat.VPN, mtu=1368, vnet_hdr=False)
        carrier.room = MANY
        carrier.flush_inbound()
        assert carrier.sent == []
        again.close()
