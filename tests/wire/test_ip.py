from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Packet, Raw
from scapy.utils import checksum as scapy_checksum

from toxvpn._native.path.datapath import LARGEST_MTU, SMALLEST_MTU
from toxvpn._native.path.packets import DropReason, PacketFormat
from toxvpn.testing.memory_path import MemoryPath
from toxvpn.wire.ip import (
    MAX_MTU,
    MIN_MTU,
    STACK_MTU,
    UNKNOWN_PROTOCOL,
    checksum,
    frame_vpn,
    parse_untrusted,
    unframe_vpn_untrusted,
)

V4 = {"src": "100.64.0.2", "dst": "100.64.0.1"}
V6 = {"src": "fd74:6f78::2", "dst": "fd74:6f78::1"}


def test_the_compiled_path_has_the_same_sizes() -> None:
    assert LARGEST_MTU == {PacketFormat.VPN: MAX_MTU, PacketFormat.STACK: STACK_MTU}
    assert SMALLEST_MTU == MIN_MTU


# packet, transport protocol, where the transport header begins
WELL_FORMED: list[tuple[Packet, int, int]] = [
    (IP(**V4) / TCP() / Raw(b"hello"), 6, 20),
    (IP(**V4) / UDP() / Raw(b"hello"), 17, 20),
    (IP(**V4) / ICMP(), 1, 20),
    (IP(**V4, options=b"\x01\x01\x01\x00") / TCP(), 6, 24),
    (IP(**V4, flags="MF") / UDP() / Raw(b"first"), 17, 20),
    (IP(**V4, frag=5, proto=17) / Raw(b"later"), UNKNOWN_PROTOCOL, 20),
    (IP(**V4, proto=17), 17, 20),
    (IPv6(**V6) / TCP() / Raw(b"hello"), 6, 40),
    (IPv6(**V6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP() / Raw(b"x"), 17, 56),
    (IPv6(**V6) / IPv6ExtHdrRouting(addresses=["fd74::1"]) / TCP(), 6, 64),
    (IPv6(**V6) / IPv6ExtHdrFragment(m=1) / UDP() / Raw(b"first"), 17, 48),
    (IPv6(**V6) / IPv6ExtHdrFragment(offset=5, nh=17) / Raw(b"later"), UNKNOWN_PROTOCOL, 48),
    (IPv6(**V6, nh=59), 59, 40),
]


def build(packet: Packet) -> bytes:
    return bytes(packet)


@pytest.mark.parametrize(("packet", "protocol", "transport"), WELL_FORMED, ids=lambda value: str(value)[:60])
def test_well_formed_packets(packet: Packet, protocol: int, transport: int) -> None:
    header = parse_untrusted(build(packet))
    assert header is not None
    assert (header.protocol, header.transport, header.version) == (protocol, transport, packet.version)
    assert (header.source, header.destination) == (ip_address(packet.src), ip_address(packet.dst))
    assert unframe_vpn_untrusted(frame_vpn(build(packet))) == [build(packet)]


@pytest.mark.parametrize("cut", range(20))
def test_truncated_packets_are_malformed(cut: int) -> None:
    for packet, *_ in WELL_FORMED:
        assert parse_untrusted(build(packet)[:cut]) is None
        assert parse_untrusted(build(packet) + bytes(cut + 1)) is None


def test_a_wrong_ethertype_or_flag_is_malformed() -> None:
    framed = frame_vpn(build(WELL_FORMED[0][0]))
    assert unframe_vpn_untrusted(framed[:3] + b"\x86\xdd" + framed[5:]) == []
    assert unframe_vpn_untrusted(framed[:1] + b"\0\1" + framed[3:]) == []
    assert unframe_vpn_untrusted(framed[:5]) == []
    assert unframe_vpn_untrusted(b"") == []


@given(st.binary(max_size=300))
def test_the_checksum_is_scapys(data: bytes) -> None:
    assert checksum(data) == scapy_checksum(data)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A well-formed packet of which a few bytes are changed, or some cut off or added."""
    data = bytearray(build(draw(st.sampled_from(WELL_FORMED))[0]))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, min(len(data), 60) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, 12))
    return bytes(data[: len(data) - cut]) + draw(st.binary(max_size=9))


@given(st.lists(st.one_of(damaged(), st.binary(min_size=1, max_size=80)), max_size=20))
def test_the_compiled_twin_finds_the_same_malformed(packets: list[bytes]) -> None:
    with MemoryPath() as path:
        ids = {4: b"\xc8\0\0\x08\0", 6: b"\xc8\0\0\x86\xdd"}
        for packet in packets:
            path.carrier.deliver(3, ids.get(packet[0] >> 4, ids[4]) + packet)
        counters = path.datapath.counters(3)
        malformed = sum(parse_untrusted(packet) is None for packet in packets)
        assert sum(counters.drops.values()) + counters.rx_packets == len(packets)
        assert counters.drops[DropReason.MALFORMED] == malformed
