"""For any input, what is written to the TUN stands for the same packets, with each flow in order.

The coalescer's output is taken apart by testing/splitter.py, which shares no code with it.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn.testing.memory_path import FRIENDS, OWN, MemoryPath
from toxvpn.testing.memory_tun import GSO_NONE, VnetHeader
from toxvpn.testing.rawpacket import ACK, RawPacket
from toxvpn.testing.splitter import TCP, UDP, ones_sum, split, transport_of

FLOWS = [
    RawPacket(FRIENDS[3][index], OWN[index], protocol, (port, 80))
    for index in (0, 1)
    for protocol in (TCP, UDP)
    for port in (5000, 5001)
]
TIMESTAMP = b"\1\1\x08\x0a" + bytes(8)
CHANGES: dict[str, dict[str, Any]] = {
    "traffic class": {"tos": 3},
    "ttl": {"ttl": 9},
    "acknowledgement": {"ack": 2},
    "window": {"window": 9},
    "options": {"tcp_options": TIMESTAMP},
    "timestamp": {"tcp_options": TIMESTAMP[:-1] + b"\1"},
    "fin": {"flags": ACK | 0x01},
    "syn": {"flags": ACK | 0x02},
    "push": {"flags": ACK | 0x08},
    "urgent": {"flags": ACK | 0x20},
    "ece": {"flags": ACK | 0x40},
    "cwr": {"flags": ACK | 0x80},
    "ae and ece": {"flags": ACK | 0x140},
    "reserved": {"flags": ACK | 0x800},
    "may be fragmented": {"dont_fragment": False},
    "ip options": {"ip_options": b"\1\1\1\1", "extensions": 1},
}
DAMAGE = ["checksum", "ip checksum", "no checksum", "udp length"]
SHAPES = ["whole"] * 6 + ["fragments", "repeated id", "gap", *DAMAGE]


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """Packets, each with the number of its flow. A change of a flow's headers lasts for a while."""
    flows = list(FLOWS)
    packets: list[tuple[int, bytes]] = []
    for number in range(draw(st.integers(1, 30))):
        which = draw(st.integers(0, len(flows) - 1))
        if draw(st.integers(0, 5)) == 0:
            change = CHANGES[draw(st.sampled_from(sorted(CHANGES)))]
            flows[which] = replace(flows[which], **change)
        elif draw(st.integers(0, 5)) == 0:
            begun = FLOWS[which]
            flows[which] = replace(begun, seq=flows[which].seq, id=flows[which].id)
        size = draw(st.sampled_from([0, 1, 7, 100, 100, 100, 100, 101, 1200]))
        flow = replace(flows[which], payload=(number.to_bytes(2, "big") * size)[:size])
        shape = draw(st.sampled_from(SHAPES))
        packets += [(which, packet) for packet in shaped(flow, shape)]
        step = {"repeated id": 0, "gap": 3}.get(shape, 1)
        flows[which] = replace(
            flow, seq=(flow.seq + size * max(step, 1)) % 2**32, id=(flow.id + step) % 2**16
        )
    return packets


def shaped(flow: RawPacket, shape: str) -> list[bytes]:
    if shape == "fragments":
        return flow.fragments(64)
    packet = bytearray(flow.build())
    start, protocol = transport_of(packet)
    field = start + (16 if protocol == TCP else 6)
    if shape == "checksum":
        packet[field] ^= 1
    elif shape == "ip checksum" and packet[0] >> 4 == 4:
        packet[10] ^= 1
    elif shape == "no checksum" and protocol == UDP:
        packet[field : field + 2] = bytes(2)
    elif shape == "udp length" and protocol == UDP:
        packet[start + 5] ^= 1
    return [bytes(packet)]


def without_id(packet: bytes) -> bytes:
    """IDs of packets that must not be fragmented mean nothing (RFC 6864): constant ones return counted."""
    good = packet[0] >> 4 == 4 and packet[6] & 0x40 and ones_sum(packet[: (packet[0] & 15) * 4]) == 0xFFFF
    return packet[:4] + b"\0\0" + packet[6:10] + b"\0\0" + packet[12:] if good else packet


def taken_apart(written: list[tuple[VnetHeader, bytes]]) -> list[bytes]:
    parts = []
    for vnet, packet in written:
        pieces = [packet] if vnet.gso_type == GSO_NONE else split(vnet, packet)
        assert len(pieces) > 1 or vnet == VnetHeader()
        parts += pieces
    return parts


def assert_equal(came: list[tuple[int, bytes]], parts: list[bytes]) -> None:
    """Assert that both have the same packets, those of each flow in the same order."""
    expected = [(flow, without_id(packet)) for flow, packet in came]
    flow_of = {packet: flow for flow, packet in expected}
    got = [without_id(part) for part in parts]
    assert Counter(got) == Counter(packet for _, packet in expected)
    for flow in {flow for flow, _ in expected}:
        assert [part for part in got if flow_of[part] == flow] == [
            packet for other, packet in expected if other == flow
        ]


@settings(max_examples=500, deadline=None)
@given(arrivals(), st.booleans(), st.integers(0, 30))
def test_what_is_written_stands_for_what_came(
    packets: list[tuple[int, bytes]], udp_offload: bool, pause: int
) -> None:
    """Also when a batch ends in the middle."""
    with MemoryPath(udp_offload=udp_offload) as path:
        batches = (packets[:pause], packets[pause:])
        written = [path.inbound(*[packet for _, packet in batch]) for batch in batches]
        assert path.drops(3) == {}
    assert_equal(packets, [part for batch in written for part in taken_apart(batch)])


def test_most_of_a_steady_flow_is_merged() -> None:
    """Otherwise the test above would compare packets that were never merged."""
    for flow in FLOWS:
        packets = [
            replace(flow, seq=100 * number, id=number, payload=bytes([number]) * 100).build()
            for number in range(40)
        ]
        with MemoryPath() as path:
            ((vnet, packet),) = path.inbound(*packets)
        assert split(vnet, packet) == packets
