"""Packets that are cut: segments byte for byte as Linux cuts them, fragments as a router does.

testing/splitter.py, and the reassembly here, share no code with the packet path.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn._native.path.packets import DropReason
from toxvpn.testing.memory_path import FRIENDS, OWN, MemoryPath
from toxvpn.testing.memory_tun import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VnetHeader
from toxvpn.testing.rawpacket import ACK, RawPacket
from toxvpn.testing.splitter import TCP, UDP, ones_sum, pseudo_sum, split, transport_of
from toxvpn.wire.ip import MAX_MTU

FLOWS = [RawPacket(OWN[index], FRIENDS[3][index], protocol) for index in (0, 1) for protocol in (TCP, UDP)]
LARGEST = 65535
IN_EVERY_FRAGMENT = b"\x82\x04ab"
IN_THE_FIRST = b"\x07\x04cd"


def offloaded(packet: bytes, segment: int) -> tuple[bytes, VnetHeader]:
    """A super-packet as the kernel hands it over: with the pseudo header's sum in the checksum field."""
    start, protocol = transport_of(packet)
    header = start + ((packet[start + 12] >> 4) * 4 if protocol == TCP else 8)
    offset = 16 if protocol == TCP else 6
    kind = GSO_UDP_L4 if protocol == UDP else GSO_TCPV4 if packet[0] >> 4 == 4 else GSO_TCPV6
    field = start + offset
    body = packet[:field] + pseudo_sum(packet).to_bytes(2, "big") + packet[field + 2 :]
    return body, VnetHeader(NEEDS_CSUM, kind, header, segment, start, offset)


@st.composite
def super_packets(draw: st.DrawFn) -> tuple[bytes, int]:
    """A super-packet, and the bytes of payload in each segment."""
    words = st.integers(0, 10).map(lambda many: b"\1" * 4 * many)
    flow = replace(
        draw(st.sampled_from(FLOWS)),
        tos=draw(st.integers(0, 255)),
        id=draw(st.integers(0, 65535)),
        dont_fragment=draw(st.booleans()),
        ip_options=draw(words),
        extensions=draw(st.integers(0, 4)),
        seq=draw(st.integers(0, 2**32 - 1)),
        flags=ACK | draw(st.integers(0, 0xFFF)) & ~0x02,
        tcp_options=draw(words),
    )
    segment = draw(st.integers(1, 1500))
    most = LARGEST - len(flow.build())
    many = draw(st.integers(1, 64))
    pattern = draw(st.binary(min_size=1, max_size=50))
    size = min(most, max(1, many * segment - draw(st.integers(0, segment - 1))))
    return replace(flow, payload=(pattern * (size // len(pattern) + 1))[:size]).build(), segment


@settings(max_examples=400, deadline=None)
@given(super_packets())
def test_segments_are_what_linux_would_have_sent(made: tuple[bytes, int]) -> None:
    whole, segment = made
    body, vnet = offloaded(whole, segment)
    with MemoryPath() as path:
        sent = [packet for _, packet in path.outbound(body, vnet)]
        if len(whole) - vnet.hdr_len < segment:
            return
        fits = vnet.hdr_len + segment <= MAX_MTU
        if fits or (whole[0] >> 4 == 4 and not whole[6] & 0x40):
            assert reassembled(sent) == split(vnet, body)
            assert path.datapath.counters(3).tx_bytes == sum(len(packet) for packet in sent)
        else:
            assert sent == []
            assert path.drops(3) == {DropReason.TOO_BIG: 1}


# -- fragments -------------------------------------------------------------------------------------


def reassembled(packets: list[bytes]) -> list[bytes]:
    """Reassemble IPv4 fragments, which come one after the other and in order."""
    whole: list[bytes] = []
    for packet in packets:
        if packet[0] >> 4 == 6 or not int.from_bytes(packet[6:8], "big") & 0x3FFF:
            whole.append(packet)
            continue
        header, place = (packet[0] & 15) * 4, (int.from_bytes(packet[6:8], "big") & 0x1FFF) * 8
        assert ones_sum(packet[:header]) == 0xFFFF
        assert int.from_bytes(packet[2:4], "big") == len(packet)
        if place == 0:
            whole.append(packet)
            continue
        assert packet[8:10] + packet[12:20] == whole[-1][8:10] + whole[-1][12:20]
        assert packet[4:6] == whole[-1][4:6]
        assert len(whole[-1]) - (whole[-1][0] & 15) * 4 == place
        whole[-1] += packet[header:]
        if not packet[6] & 0x20:
            whole[-1] = unfragmented(whole[-1])
    return whole


def unfragmented(packet: bytes) -> bytes:
    header = (packet[0] & 15) * 4
    done = bytearray(packet[:header])
    done[2:4] = len(packet).to_bytes(2, "big")
    done[6:8] = bytes([packet[6] & 0xC0, 0])
    done[10:12] = bytes(2)
    done[10:12] = (ones_sum(done) ^ 0xFFFF).to_bytes(2, "big")
    return bytes(done) + packet[header:]


@pytest.mark.parametrize("protocol", [TCP, UDP])
@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(0, MAX_MTU - 120),
    mtu=st.integers(576, MAX_MTU),
    options=st.integers(0, 10),
    left_to_us=st.booleans(),
)
def test_what_may_be_fragmented_is(
    protocol: int, size: int, mtu: int, options: int, left_to_us: bool
) -> None:
    packet = replace(
        RawPacket(OWN[0], FRIENDS[3][0], protocol, payload=bytes(range(256)) * 6),
        dont_fragment=False,
        id=77,
        ip_options=b"\1\1\1\1" * options,
    )
    whole = replace(packet, payload=packet.payload[:size]).build()
    with MemoryPath() as path:
        path.datapath.set_mtu(3, mtu)
        if left_to_us:
            body, vnet = offloaded(whole, 0)
            sent = path.outbound(body, replace(vnet, gso_type=0, gso_size=0, hdr_len=0))
        else:
            sent = path.outbound(whole)
        assert path.drops(3) == {} and path.tun.packets() == []
    parts = [part for _, part in sent]
    assert reassembled(parts) == [whole]
    assert all(len(part) <= mtu for part in parts)
    assert all(mtu - len(part) < 8 for part in parts[:-1])


def fragment(path: MemoryPath, mtu: int, packet: bytes) -> list[bytes]:
    path.datapath.set_mtu(3, mtu)
    return [part for _, part in path.outbound(packet)]


def plain(**fields: Any) -> RawPacket:
    return RawPacket(OWN[0], FRIENDS[3][0], UDP, dont_fragment=False, **fields)


def test_options_for_the_first_fragment_alone_do_nothing_in_later_ones() -> None:
    """RFC 791 §3.1: the first bit of an option says whether it is copied."""
    options = IN_THE_FIRST + b"\1" + IN_EVERY_FRAGMENT + b"\1\1\0"
    packet = plain(payload=bytes(1200), ip_options=options).build()
    with MemoryPath() as path:
        first, *later = fragment(path, 576, packet)
    assert first[20:32] == options
    assert [part[20:32] for part in later] == [b"\1" * 5 + IN_EVERY_FRAGMENT + b"\1\1\0"] * 2


@pytest.mark.parametrize("options", [b"\x07\x28ab", b"\x07\0ab", b"\1\1\1\x07", b"\x07\1ab"])
def test_lying_ip_options_do_no_harm(options: bytes) -> None:
    packet = plain(payload=bytes(1200), ip_options=options).build()
    with MemoryPath() as path:
        assert len(reassembled(fragment(path, 576, packet))) == 1


def test_a_fragment_is_fragmented_further() -> None:
    parts = plain(payload=bytes(range(256)) * 5).fragments(1200)
    whole = reassembled(parts)
    with MemoryPath() as path:
        smaller = [piece for part in parts for piece in fragment(path, 700, part)]
    assert len(smaller) == 3
    assert all(len(piece) <= 700 for piece in smaller)
    assert reassembled(smaller) == whole


def test_a_super_packet_without_df_goes_in_fragments_of_its_segments() -> None:
    whole = plain(payload=bytes(range(256)) * 12, id=65535).build()
    body, vnet = offloaded(whole, 1000)
    with MemoryPath() as path:
        path.datapath.set_mtu(3, 600)
        sent = [part for _, part in path.outbound(body, vnet)]
    assert reassembled(sent) == split(vnet, body)
    assert len(sent) == 7
