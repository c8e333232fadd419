"""Tox -> TUN: what a friend may send, and what is counted and dropped."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from toxvpn._native.path.datapath import Datapath
from toxvpn._native.path.packets import DropReason, PacketFormat
from toxvpn.testing.craft import dissect, ip_header, tcp_packet, udp_packet
from toxvpn.testing.memory_carrier import MemoryCarrier
from toxvpn.testing.memory_path import MemoryPath, address_pair
from toxvpn.testing.memory_tun import MemoryTun, VnetHeader
from toxvpn.wire.ip import frame_vpn

versions = pytest.mark.parametrize("version", [4, 6])


def from_friend(version: int, friend_number: int = 3, **fields: object) -> Packet:
    own, friend = address_pair(version, friend_number)
    return ip_header(version, friend, own, **fields)


@versions
@pytest.mark.parametrize("vnet_hdr", [True, False])
def test_a_packet_reaches_the_kernel_unchanged(version: int, vnet_hdr: bool) -> None:
    packet = udp_packet(from_friend(version), b"hello")
    with MemoryPath(vnet_hdr=vnet_hdr) as path:
        assert path.inbound(packet) == [(VnetHeader(), packet)]
        counters = path.datapath.counters(3)
        assert (counters.rx_packets, counters.rx_bytes) == (1, len(packet))


@pytest.mark.parametrize(
    "source",
    [
        "100.64.0.3",  # another friend's address
        "100.64.0.1",  # our own
        "100.64.9.9",  # nobody's
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_a_foreign_ipv4_source_is_refused(source: str) -> None:
    with MemoryPath() as path:
        assert path.inbound(udp_packet(ip_header(4, source, "100.64.0.1"), b"x")) == []
        assert path.drops(3) == {DropReason.SOURCE_NOT_ALLOWED: 1}
        assert path.drops(4) == {}
        assert path.datapath.counters(3).rx_packets == 0


@pytest.mark.parametrize(
    "source", ["fd74:6f78::3", "fd74:6f78::1", "::", "::1", "ff02::1", "::ffff:100.64.0.2"]
)
def test_a_foreign_ipv6_source_is_refused(source: str) -> None:
    with MemoryPath() as path:
        assert path.inbound(udp_packet(ip_header(6, source, "fd74:6f78::1"), b"x")) == []
        assert path.drops(3) == {DropReason.SOURCE_NOT_ALLOWED: 1}


@pytest.mark.parametrize(
    ("version", "destination"),
    [
        (4, "100.64.0.3"),  # through us to another friend
        (4, "192.168.1.1"),
        (4, "127.0.0.1"),
        (4, "224.0.0.251"),
        (4, "255.255.255.255"),
        (6, "fd74:6f78::3"),
        (6, "ff02::1"),
        (6, "fe80::1"),
        (6, "::1"),
    ],
)
def test_a_destination_that_is_not_ours_is_refused(version: int, destination: str) -> None:
    _, friend = address_pair(version)
    with MemoryPath() as path:
        assert path.inbound(udp_packet(ip_header(version, friend, destination), b"x")) == []
        assert path.drops(3) == {DropReason.DESTINATION_NOT_ALLOWED: 1}


def test_a_part_of_what_a_friend_may_reach_can_be_closed_and_a_part_of_that_opened() -> None:
    reached = {"203.0.113.9": True, "10.1.2.3": False, "10.9.2.3": True, "10.9.9.9": False}
    _, friend = address_pair(4)
    with MemoryPath() as path:
        for network, allowed in (("0.0.0.0/0", True), ("10.0.0.0/8", False), ("10.9.0.0/16", True)):
            path.datapath.allow_destination(ip_network(network), 3, allowed=allowed)
        path.datapath.allow_destination(ip_network("10.9.9.0/24"), 3, allowed=False)
        for address, allowed in reached.items():
            packet = udp_packet(ip_header(4, friend, address), b"x")
            assert bool(path.inbound(packet)) is allowed, address
        path.datapath.remove_destination(ip_network("10.0.0.0/8"), 3)
        assert path.inbound(udp_packet(ip_header(4, friend, "10.1.2.3"), b"x"))


def test_a_destination_may_be_opened_to_one_friend_or_to_all() -> None:
    network = ip_network("192.168.1.0/24")

    def packet(source: str) -> bytes:
        return udp_packet(ip_header(4, source, "192.168.1.7"), b"x")

    with MemoryPath() as path:
        path.datapath.allow_destination(network, 3)
        assert len(path.inbound(packet("100.64.0.2"))) == 1
        assert len(path.inbound(packet("100.64.0.3"), friend_number=4)) == 0
        path.datapath.allow_destination(network)
        assert len(path.inbound(packet("100.64.0.3"), friend_number=4)) == 1
        path.datapath.remove_destination(network)
        path.datapath.remove_destination(network, 3)
        assert len(path.inbound(packet("100.64.0.2"))) == 0


def test_a_wide_source_does_not_open_the_addresses_of_others() -> None:
    """An exit node may send from any address, except ours and other friends'."""
    with MemoryPath() as path:
        path.datapath.allow_source(ip_network("0.0.0.0/0"), 3)
        for source, passes in (("8.8.8.8", True), ("100.64.0.3", False), ("100.64.0.1", False)):
            packet = udp_packet(ip_header(4, source, "100.64.0.1"), b"x")
            assert bool(path.inbound(packet)) is passes
        assert path.drops(3) == {DropReason.SOURCE_NOT_ALLOWED: 2}


def test_an_address_has_one_owner() -> None:
    with MemoryPath() as path:
        with pytest.raises(ValueError, match=r"100\.64\.0\.3/32 belongs to friend 4"):
            path.datapath.allow_source(ip_network("100.64.0.3/32"), 3)
        with pytest.raises(ValueError, match=r"100\.64\.0\.1/32 belongs to this machine"):
            path.datapath.allow_source(ip_network("100.64.0.1/32"), 3)
        with pytest.raises(ValueError, match=r"100\.64\.0\.3/32 belongs to friend 4"):
            path.datapath.add_own_address(ip_network("100.64.0.3/32"))
        assert not path.datapath.remove_own_address(ip_network("100.64.0.3/32"))
        assert path.datapath.remove_own_address(ip_network("100.64.0.1/32"))
        path.datapath.allow_source(ip_network("100.64.0.1/32"), 3)


@pytest.mark.parametrize(
    "frame",
    [
        b"\xc8",
        b"\xc8\0\0\x08\0",
        b"\xc8\0\0\x08\0\x45",
        b"\xc8\0\0\x86\xdd" + udp_packet(from_friend(4), b"x"),  # wrong EtherType
        b"\xc8\0\0\x08\x06" + udp_packet(from_friend(4), b"x"),  # ARP
        b"\xc8\0\1\x08\0" + udp_packet(from_friend(4), b"x"),  # flags
        frame_vpn(udp_packet(from_friend(4), b"x"))[:-1],  # truncated
        frame_vpn(udp_packet(from_friend(6), b"x"))[:-1],
        frame_vpn(udp_packet(from_friend(4), b"x")) + b"\0",  # longer than it says
        frame_vpn(bytes(IP(src="100.64.0.2", dst="100.64.0.1", ihl=15) / UDP())),
        frame_vpn(bytes(IP(src="100.64.0.2", dst="100.64.0.1", ihl=4) / UDP())),
        frame_vpn(bytes(IPv6(src="fd74:6f78::2", dst="fd74:6f78::1", plen=0) / UDP())),
        frame_vpn(bytes(IPv6(src="fd74:6f78::2", dst="fd74:6f78::1", nh=0) / Raw(b"\x11\xff" + bytes(6)))),
    ],
    ids=lambda frame: frame.hex()[:30],
)
def test_malformed_packets_are_counted(frame: bytes) -> None:
    with MemoryPath() as path:
        path.carrier.deliver(3, frame)
        path.carrier.flush_inbound()
        assert path.tun.packets() == []
        assert path.drops(3) == {DropReason.MALFORMED: 1}


def test_the_stack_takes_ipv6_only() -> None:
    with MemoryTun() as tun:
        carrier = MemoryCarrier()
        datapath = Datapath(carrier, tun.fd, PacketFormat.STACK, mtu=1372, vnet_hdr=True)
        datapath.add_own_address(ip_network("fd74:6f78::1/128"))
        datapath.allow_source(ip_network("fd74:6f78::2/128"), 3)
        packet = udp_packet(from_friend(6), bytes(1372 - 48))
        for body in (packet, udp_packet(from_friend(4), b"x"), b""):
            carrier.deliver(3, b"\xc9" + body)
        carrier.deliver(3, frame_vpn(packet))  # the other ID is not for us
        carrier.flush_inbound()
        assert tun.packets() == [packet]
        assert datapath.counters(3).drops[DropReason.MALFORMED] == 2
        datapath.close()


def test_packets_of_strangers_are_counted_for_nobody() -> None:
    with MemoryPath() as path:
        packet = frame_vpn(udp_packet(from_friend(4), b"x"))
        path.carrier.deliver(70000, packet)
        path.carrier.deliver(2**32 - 1, packet)
        path.carrier.deliver(2**32 - 1, frame_vpn(udp_packet(ip_header(4, "100.64.0.1", "100.64.0.1"), b"x")))
        path.carrier.flush_inbound()
        assert path.tun.packets() == []
        assert path.drops() == {DropReason.SOURCE_NOT_ALLOWED: 3}


@pytest.mark.parametrize("udp", [True, False], ids=["datagrams", "segments"])
def test_a_device_that_takes_no_more_costs_packets_not_time(udp: bool) -> None:
    with MemoryPath() as path:
        make = udp_packet if udp else tcp_packet
        sent = 0
        while not path.drops(3):
            assert sent < 5000
            path.carrier.deliver(3, frame_vpn(make(from_friend(4), bytes(1000), sport=sent + 1)))
            path.carrier.flush_inbound()
            sent += 1
        assert path.drops(3) == {DropReason.QUEUE_FULL: 1}
        assert len(path.tun.packets()) == sent - 1
        assert path.datapath.counters(3).rx_packets == sent


def test_a_device_that_is_gone_is_counted() -> None:
    with MemoryTun() as tun:
        carrier = MemoryCarrier()
        datapath = Datapath(carrier, tun.fd, PacketFormat.VPN, mtu=1368, vnet_hdr=True)
        datapath.add_own_address(ip_network("100.64.0.1/32"))
        datapath.allow_source(ip_network("100.64.0.2/32"), 3)
        tun._ours.close()
        carrier.deliver(3, frame_vpn(udp_packet(from_friend(4), b"x")))
        carrier.flush_inbound()
        assert datapath.counters(3).drops[DropReason.DEVICE] == 1
        datapath.close()


@versions
def test_the_mss_of_a_peers_syn_is_lowered(version: int) -> None:
    syn = tcp_packet(from_friend(version), b"", flags="SA", options=[("MSS", 8960), ("SAckOK", b"")])
    with MemoryPath() as path:
        path.datapath.set_mtu(3, 1300)
        ((_, written),) = path.inbound(syn)
        assert path.inbound(tcp_packet(from_friend(version), b"", flags="S", options=[("MSS", 600)]))
    part = dissect(written)
    assert part.valid
    assert dict(part.transport.options)["MSS"] == (1260 if version == 4 else 1240)


@pytest.mark.parametrize(
    "options",
    [b"\x02", b"\x02\x04", b"\x02\x00\x20\x00", b"\x05\x01", b"\x08\xff", b"\x01" * 40],
)
def test_lying_tcp_options_do_no_harm(options: bytes) -> None:
    body = options.ljust(-(-len(options) // 4) * 4, b"\x02")
    syn = bytearray(tcp_packet(from_friend(4), body, flags="S", dataofs=5 + len(body) // 4))
    with MemoryPath() as path:
        assert [packet for _, packet in path.inbound(bytes(syn))] == [bytes(syn)]


@pytest.mark.parametrize("cut", range(1, 20))
def test_transport_headers_cut_short_do_no_harm(cut: int) -> None:
    """The kernel has to refuse well-formed IP with an incomplete TCP or UDP header inside."""
    for protocol in (6, 17):
        packets = [
            bytes(IP(src="100.64.0.2", dst="100.64.0.1", proto=protocol) / Raw(b"\xff" * cut)),
            bytes(IPv6(src="fd74:6f78::2", dst="fd74:6f78::1", nh=protocol) / Raw(b"\xff" * cut)),
        ]
        with MemoryPath() as path:
            assert [packet for _, packet in path.inbound(*packets)] == packets


@given(st.lists(st.tuples(st.integers(0, 5), st.binary(min_size=1, max_size=100)), max_size=30))
def test_noise_never_reaches_the_kernel(noise: list[tuple[int, bytes]]) -> None:
    with MemoryPath() as path:
        for friend_number, data in noise:
            path.carrier.deliver(friend_number, b"\xc8" + data)
        path.carrier.flush_inbound()
        assert path.tun.packets() == []


def test_fragments_pass() -> None:
    own, friend = address_pair(6)
    packets = [
        bytes(IP(src="100.64.0.2", dst="100.64.0.1", flags="MF") / UDP() / Raw(bytes(800))),
        bytes(IP(src="100.64.0.2", dst="100.64.0.1", frag=101, proto=17) / Raw(bytes(800))),
        bytes(IPv6(src=str(friend), dst=str(own)) / IPv6ExtHdrFragment(m=1) / TCP() / Raw(bytes(800))),
        bytes(IPv6(src=str(friend), dst=str(own)) / IPv6ExtHdrFragment(offset=101, nh=6) / Raw(bytes(80))),
    ]
    with MemoryPath() as path:
        assert [packet for _, packet in path.inbound(*packets)] == packets


def test_what_the_kernel_answers_at_once_goes_with_the_round_of_packets() -> None:
    ours, theirs = address_pair(4)
    question = udp_packet(ip_header(4, theirs, ours), b"question")
    answer = udp_packet(ip_header(4, ours, theirs), b"answer")
    with MemoryPath() as path:
        path.tun.inject(answer)
        path.carrier.flush_inbound()
        assert path.carrier.sent == []  # nothing was written: the device is not asked
        path.carrier.deliver(3, frame_vpn(question))
        path.carrier.flush_inbound()
        assert path.tun.packets() == [question]
        assert path.carrier.sent == [(3, frame_vpn(answer))]


def test_answers_wait_while_the_carrier_is_congested() -> None:
    ours, theirs = address_pair(4)
    packet = tcp_packet(ip_header(4, theirs, ours), b"held back until the round is over")
    with MemoryPath() as path:
        path.carrier.is_congested = True
        path.tun.inject(tcp_packet(ip_header(4, ours, theirs), b"answer"))
        path.carrier.deliver(3, frame_vpn(packet))
        path.carrier.flush_inbound()
        assert path.tun.packets() == [packet]
        assert path.carrier.sent == []
        path.carrier.is_congested = False
        path.carrier.flush_inbound()
        assert len(path.carrier.sent) == 1
