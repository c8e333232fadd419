"""Packets that may be merged are merged, all others are not. test_coalesce_oracle.py tries it at random."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from toxvpn._native.path.packets import DropReason
from toxvpn.testing.craft import TIMESTAMP, dissect, ip_header, tcp_packet, udp_packet
from toxvpn.testing.memory_path import MemoryPath, address_pair
from toxvpn.testing.memory_tun import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VnetHeader
from toxvpn.testing.rawpacket import RawPacket
from toxvpn.testing.splitter import TCP, UDP
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
    """Cut super-packets again, as the kernel would to forward them: by our own outbound path."""
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
    """It keeps its place: its flow is flushed before it, and a new run begins after it."""
    fields = {"seq": 1000} | change
    odd = segment(version, fields.pop("seq"), bytes(1000), **fields)
    packets = [segment(version, 0, bytes(1000)), odd]
    written = merge(*packets)
    assert sorted(written, key=repr) == sorted(unmerged(packets), key=repr)
    if "sport" not in change:
        assert written == unmerged(packets)


@versions
@pytest.mark.parametrize("flags", ["AEN", "EA", "AN"])
def test_ecn_flags_that_are_the_same_in_all_are_merged(version: int, flags: str) -> None:
    """AccECN uses these flags as a counter in every segment (RFC 9768)."""
    packets = run(version, 4, flags=flags)
    (written,) = merge(*packets)
    assert reopened([written]) == packets


@versions
@pytest.mark.parametrize("fields", [{"flags": "CA"}, {"flags": "CEAN"}, {"reserved": 1}])
def test_flags_that_would_not_come_back_are_not_merged(version: int, fields: dict[str, Any]) -> None:
    packets = run(version, 3, **fields)
    assert merge(*packets) == unmerged(packets)


@versions
@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("odd", ["fragments", "options"])
def test_what_hides_its_flow_overtakes_nothing(version: int, protocol: int, odd: str) -> None:
    """Also when it belongs to another flow between the same addresses: that cannot be seen."""
    own, friend = address_pair(version)
    flow = RawPacket(str(friend), str(own), protocol)
    held = [replace(flow, seq=n * 900, id=n, payload=bytes(900)).build() for n in range(3)]
    last = replace(flow, seq=2700, id=3, payload=bytes(2000))
    more = replace(last, ip_options=b"\1\1\1\1", extensions=1)
    later = last.fragments(1200) if odd == "fragments" else [more.build()]
    written = merge(*held, *later)
    assert written[1:] == unmerged(later)
    assert len(written[0][1]) > 2700


def test_what_hides_its_flow_leaves_others_alone() -> None:
    """Flows between other addresses are still merged."""
    fragments = RawPacket("100.64.0.2", "100.64.0.1", UDP, payload=bytes(2000)).fragments(1200)
    first, *others = run(6, 5)
    ((vnet, _),) = [each for each in merge(first, *fragments, *others) if each[0] != VnetHeader()]
    assert vnet.gso_type == GSO_TCPV6


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
    """An address moves to another friend within a batch: packets of the two friends are not merged."""
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


@pytest.mark.parametrize("protocol", [TCP, UDP])
@versions
def test_what_the_kernel_refuses_merged_it_gets_one_by_one(version: int, protocol: int) -> None:
    """From then on nothing of that protocol is merged."""
    own, friend = address_pair(version)
    flow = RawPacket(str(friend), str(own), protocol)
    packets = [replace(flow, seq=n * 1000, id=n, payload=bytes([n]) * 1000).build() for n in range(30)]
    refusals = 0
    with MemoryPath(largest_write=1500) as path:

        def on_refusal() -> None:
            nonlocal refusals
            refusals += 1

        path.datapath.on_refusal = on_refusal
        refused = [path.datapath.refused]
        for half in (packets[:15], packets[15:]):
            assert path.inbound(*half) == unmerged(half)
        refused.append(path.datapath.refused)
        assert path.drops(3) == {}
    assert refused == [(), ("TCP",) if protocol == TCP else ("UDP",)]
    assert refusals == 1


def test_a_refusal_in_the_middle_of_a_batch_changes_no_order() -> None:
    """A flow that is held back when the first super-packet is refused is written before its later packets."""
    one, other = run(6, 3, sport=1), run(6, 4, sport=2)
    one[2] = segment(6, 2000, bytes([2]) * 1000, sport=1, flags="PA")  # ends its run at once
    with MemoryPath(largest_write=1500) as path:
        written = path.inbound(*other[:2], *one, *other[2:])
    assert written == unmerged([*one, *other])


def test_a_device_that_is_down_is_no_refusal() -> None:
    with MemoryPath() as path:
        path.tun.stop_reading()
        path.inbound(*run(6, 5))
        assert path.drops(3) == {DropReason.DEVICE: 5}
        assert path.datapath.refused == ()
