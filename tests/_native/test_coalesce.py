"""What may be merged is, what may not passes as it came; and what was merged comes apart into the same."""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP

from toxvpn.testing.craft import TIMESTAMP, dissect, ip_header, tcp_packet, udp_packet
from toxvpn.testing.memory_path import MemoryPath, address_pair
from toxvpn.testing.memory_tun import (
    GSO_NONE,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CSUM,
    VnetHeader,
)
from toxvpn.wire.ip import frame_vpn

versions = pytest.mark.parametrize("version", [4, 6])
Written = list[tuple[VnetHeader, bytes]]


def segment(version: int, seq: int, payload: bytes, ip: dict[str, Any] | None = None, **tcp: Any) -> bytes:
    """A TCP segment from friend 3; the IPv4 ID follows the sequence number, a thousand bytes a step."""
    own, friend = address_pair(version)
    header = ip_header(version, friend, own, **({"id": seq // 1000} | (ip or {})))
    return tcp_packet(header, payload, **({"seq": seq, "ack": 1, "options": TIMESTAMP} | tcp))


def run(version: int, many: int, size: int = 1000, **fields: Any) -> list[bytes]:
    return [segment(version, size * index, bytes([index]) * size, **fields) for index in range(many)]


def merge(*packets: bytes, **settings: Any) -> Written:
    with MemoryPath(**settings) as path:
        written = path.inbound(*packets)
        assert path.datapath.counters(3).rx_packets == len(packets)
        return written


def unmerged(packets: Iterable[bytes]) -> Written:
    return [(VnetHeader(), packet) for packet in packets]


def reopened(written: Written) -> list[bytes]:
    """Takes super-packets apart again, as the kernel would to forward them: on our own way out."""
    packets = []
    with MemoryPath() as path:
        for address in (*address_pair(4), *address_pair(6)):
            path.datapath.set_route(ip_network(address), 3)
        for vnet, packet in written:
            packets += [part for _, part in path.outbound(packet, vnet)]
    return packets


@versions
def test_a_run_of_segments_becomes_one(version: int) -> None:
    ((vnet, packet),) = merge(*run(version, 5))
    start = 20 if version == 4 else 40
    kind = GSO_TCPV4 if version == 4 else GSO_TCPV6
    assert vnet == VnetHeader(NEEDS_CSUM, kind, start + 32, 1000, start, 16)
    part = dissect(packet)
    assert part.payload == b"".join(bytes([index]) * 1000 for index in range(5))
    assert part.transport.seq == 0
    assert part.transport.options == dissect(run(version, 1)[0]).transport.options
    assert len(packet) == (part.ip.len if version == 4 else part.ip.plen + 40)
    assert reopened([(vnet, packet)]) == run(version, 5)


@versions
def test_a_run_of_datagrams_becomes_one(version: int) -> None:
    own, friend = address_pair(version)
    packets = [udp_packet(ip_header(version, friend, own, id=n), bytes([n]) * 200) for n in range(5)]
    ((vnet, packet),) = merge(*packets)
    start = 20 if version == 4 else 40
    assert vnet == VnetHeader(NEEDS_CSUM, GSO_UDP_L4, start + 8, 200, start, 6)
    assert reopened([(vnet, packet)]) == packets


def test_datagrams_stay_single_where_the_kernel_cannot_cut_them() -> None:
    own, friend = address_pair(4)
    packets = [udp_packet(ip_header(4, friend, own, id=n), b"x" * 200) for n in range(5)]
    assert merge(*packets, udp_offload=False) == unmerged(packets)


@versions
def test_without_offload_nothing_is_merged(version: int) -> None:
    packets = run(version, 3)
    assert merge(*packets, vnet_hdr=False) == unmerged(packets)


@versions
def test_a_single_segment_passes_unchanged(version: int) -> None:
    packets = run(version, 1)
    assert merge(*packets) == unmerged(packets)


@versions
def test_push_ends_a_run(version: int) -> None:
    packets = run(version, 5)
    packets[2] = segment(version, 2000, bytes([2]) * 1000, flags="PA")
    written = merge(*packets)
    assert [len(dissect(packet).payload) for _, packet in written] == [3000, 2000]
    assert [dissect(packet).flags for _, packet in written] == ["PA", "A"]
    assert reopened(written) == packets


@versions
def test_a_shorter_segment_ends_a_run(version: int) -> None:
    packets = [*run(version, 2), segment(version, 2000, b"short"), segment(version, 2005, bytes(1000))]
    written = merge(*packets)
    assert [len(dissect(packet).payload) for _, packet in written] == [2005, 1000]


@versions
def test_a_longer_segment_begins_anew(version: int) -> None:
    written = merge(segment(version, 0, bytes(500)), segment(version, 500, bytes(600), ip={"id": 1}))
    assert [len(dissect(packet).payload) for _, packet in written] == [500, 600]


DIFFERENT: dict[str, dict[str, Any]] = {
    "sequence": {"seq": 1001},
    "acknowledgement": {"ack": 2},
    "window": {"window": 5},
    "timestamp": {"options": [("NOP", None), ("NOP", None), ("Timestamp", (1001, 2000))]},
    "no options": {"options": []},
    "ttl": {"ip": {"ttl": 3}},
    "ecn": {"ip": {"tos": 3}},
    "port": {"sport": 5002},
    "fin": {"flags": "FA"},
    "rst": {"flags": "RA"},
    "urgent": {"flags": "UA"},
    "cwr": {"flags": "CA"},
    "ece": {"flags": "EA"},
    "no ack": {"flags": ""},
    "reserved": {"reserved": 1},
    "bad checksum": {"chksum": 0x1234},
}


@versions
@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_is_not_merged(version: int, change: dict[str, Any]) -> None:
    """And keeps its place: in front of it nothing of its flow waits, behind it a new run begins."""
    fields = {"seq": 1000} | change
    odd = segment(version, fields.pop("seq"), bytes(1000), **fields)
    packets = [segment(version, 0, bytes(1000)), odd]
    written = merge(*packets)
    assert sorted(written, key=repr) == sorted(unmerged(packets), key=repr)
    if "sport" not in change:
        assert written == unmerged(packets)


@versions
def test_a_pure_acknowledgement_does_not_overtake(version: int) -> None:
    packets = [*run(version, 2), segment(version, 2000, b""), segment(version, 2000, bytes(1000))]
    written = merge(*packets)
    assert [len(dissect(packet).payload) for _, packet in written] == [2000, 0, 1000]
    assert reopened(written) == packets


@versions
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_bad_checksum_is_not_laundered(version: int, position: int) -> None:
    packets = run(version, 3)
    packets[position] = packets[position][:-1] + b"!"
    written = merge(*packets)
    assert (VnetHeader(), packets[position]) in written
    assert reopened(written) == packets


def test_a_bad_ipv4_header_checksum_is_not_laundered() -> None:
    packets = run(4, 3)
    packets[1] = packets[1][:10] + b"\0\0" + packets[1][12:]
    assert merge(*packets) == unmerged(packets)


def test_a_datagram_without_checksum_passes() -> None:
    own, friend = address_pair(4)
    packets = [udp_packet(ip_header(4, friend, own, id=n), b"x" * 9, chksum=0) for n in range(3)]
    assert merge(*packets) == unmerged(packets)


def test_a_datagram_whose_length_lies_passes() -> None:
    own, friend = address_pair(4)
    packets = [udp_packet(ip_header(4, friend, own, id=n), b"x" * 9, len=12) for n in range(3)]
    assert merge(*packets) == unmerged(packets)


@pytest.mark.parametrize(
    ("ids", "flags", "merged"),
    [
        ([5, 6, 7], "DF", True),
        ([65534, 65535, 0], "DF", True),
        ([0, 0, 0], "DF", True),
        ([0, 0, 1], "DF", False),
        ([0, 1, 1], "DF", False),
        ([5, 7, 9], "DF", False),
        ([5, 6, 7], 0, True),
        ([5, 5, 5], 0, False),
        ([7, 6, 5], 0, False),
    ],
)
def test_the_ipv4_id_must_go_on(ids: list[int], flags: object, merged: bool) -> None:
    packets = [
        segment(4, 1000 * n, bytes(1000), ip={"id": identifier, "flags": flags})
        for n, identifier in enumerate(ids)
    ]
    assert (len(merge(*packets)) == 1) is merged


def test_ipv4_options_are_not_merged() -> None:
    packets = run(4, 2, ip={"options": b"\x01\x01\x01\x01"})
    assert merge(*packets) == unmerged(packets)


def test_flows_are_merged_side_by_side() -> None:
    flows = [run(version, 4, sport=port) for version in (4, 6) for port in range(8)]
    mixed = [packets[index] for index in range(4) for packets in flows]
    written = merge(*mixed)
    assert len(written) == 16
    assert {tuple(reopened([one])) for one in written} == {tuple(packets) for packets in flows}


def test_more_flows_than_places_lose_nothing() -> None:
    flows = [run(6, 4, 100, sport=port) for port in range(40)]
    mixed = [packets[index] for index in range(4) for packets in flows]
    written = merge(*mixed)
    assert sorted(reopened(written)) == sorted(mixed)


def test_the_flow_unused_for_longest_makes_way() -> None:
    first, *others = [run(6, 3, sport=port) for port in range(17)]
    begun = [packets[0] for packets in [first, *others[:15]]]
    written = merge(*begun, first[1], others[15][0], first[2], others[0][1])
    sizes = {dissect(packet).transport.sport: 0 for _, packet in written}
    for _, packet in written:
        sizes[dissect(packet).transport.sport] = max(
            sizes[dissect(packet).transport.sport], len(dissect(packet).payload)
        )
    assert sizes[0] == 3000
    assert sizes[1] == 1000


def test_friends_are_not_mixed() -> None:
    """An address that changes hands within a batch: what one sends does not ride on the other's packet."""
    packets = run(4, 2)
    with MemoryPath() as path:
        path.carrier.deliver(3, frame_vpn(packets[0]))
        path.datapath.remove_source(ip_network("100.64.0.2/32"))
        path.datapath.allow_source(ip_network("100.64.0.2/32"), 4)
        assert path.inbound(packets[1], friend_number=4) == unmerged(packets)


def test_a_super_packet_has_a_bound() -> None:
    packets = [segment(6, 1200 * n, bytes(1200)) for n in range(60)]
    written = merge(*packets)
    assert len(written) == 2
    assert all(len(packet) <= 65535 for _, packet in written)
    assert reopened(written) == packets


def test_a_batch_of_datagrams_has_a_bound() -> None:
    own, friend = address_pair(6)
    packets = [udp_packet(ip_header(6, friend, own), b"%3d" % n) for n in range(100)]
    written = merge(*packets)
    assert [len(dissect(packet).payload) // 3 for _, packet in written] == [64, 36]
    assert reopened(written) == packets


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Segments of up to three flows, in and out of order, with changing headers, some damaged."""
    packets = []
    places: dict[tuple[int, int, str], int] = {}
    for number in range(draw(st.integers(1, 25))):
        version, port = draw(st.sampled_from([4, 6])), draw(st.integers(1, 2))
        udp = draw(st.integers(0, 9)) == 0
        key = (version, port, "udp" if udp else "tcp")
        place = places.get(key, 0) if draw(st.integers(0, 9)) else draw(st.integers(0, 5000))
        size = draw(st.sampled_from([0, 1, 99, 100, 100, 100, 100, 101]))
        own, friend = address_pair(version)
        ttl = draw(st.sampled_from([64, 64, 64, 9]))
        ip = ip_header(version, friend, own, ttl=ttl, id=place // 100, flags=draw(st.sampled_from(["DF", 0])))
        payload = bytes([number]) * size
        if udp:
            packet = udp_packet(ip, payload, sport=port)
        else:
            flags = draw(st.sampled_from(["A", "A", "A", "A", "PA", "FA", "SA"]))
            packet = tcp_packet(ip, payload, sport=port, seq=place, flags=flags)
        places[key] = place + size
        if draw(st.integers(0, 14)) == 0:
            at = draw(st.integers(8, len(packet) - 1))
            if not 12 <= at < (20 if version == 4 else 40) and not (version == 6 and at < 40):
                packet = packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :]
        packets.append(packet)
    return packets


def flow_of(packet: bytes) -> bytes:
    start = 20 if packet[0] >> 4 == 4 else 40
    protocol = packet[9] if start == 20 else packet[6]
    return bytes([packet[0] >> 4, protocol]) + packet[start : start + 4]


def without_id(packet: bytes) -> bytes:
    """IDs of packets that must not be fragmented mean nothing (RFC 6864): constant ones come back counted."""
    ip = IP(packet)
    if ip.version != 4 or "DF" not in str(ip.flags):
        return packet
    return packet[:4] + b"\0\0" + packet[6:10] + b"\0\0" + packet[12:]


@settings(max_examples=300, deadline=None)
@given(streams())
def test_taking_apart_what_was_merged_gives_the_same_packets(packets: list[bytes]) -> None:
    """Every flow arrives complete, in order and bit for bit."""
    with MemoryPath() as path:
        written = path.inbound(*packets)
        passed = packets
        assert path.datapath.counters(3).rx_packets + sum(path.drops(3).values()) == len(packets)
    again = [
        part
        for vnet, packet in written
        for part in ([packet] if vnet.gso_type == GSO_NONE else reopened([(vnet, packet)]))
    ]
    assert len(again) == len(passed) - sum(path_drops(packets))
    for flow in {flow_of(packet) for packet in again}:
        before = [without_id(packet) for packet in passed if flow_of(packet) == flow]
        after = [without_id(packet) for packet in again if flow_of(packet) == flow]
        assert after == before


def path_drops(packets: list[bytes]) -> list[int]:
    with MemoryPath() as path:
        path.inbound(*packets)
        return list(path.drops(3).values())
