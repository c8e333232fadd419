from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.packet import Packet, Raw

from toxvpn.testing.craft import tcp_packet, transport_sum, udp_packet
from toxvpn.wire.answers import (
    Echo,
    FlowEnds,
    Opening,
    Unreachable,
    datagram_head,
    echo_reply,
    parse_untrusted,
    reset,
    unreachable,
)
from toxvpn.wire.ip import checksum

ENDS: dict[int, tuple[str, str]] = {4: ("100.64.0.2", "10.0.0.5"), 6: ("fd74::2", "fd00:10::5")}
PORTS = {"sport": 1000, "dport": 22}


def ip(version: int) -> Packet:
    source, destination = ENDS[version]
    return IP(src=source, dst=destination) if version == 4 else IPv6(src=source, dst=destination)


def flow(version: int, port: int = 22) -> FlowEnds:
    source, destination = map(ip_address, ENDS[version])
    return FlowEnds(source, 1000, destination, port)


def dissected(version: int, packet: bytes) -> Packet:
    """As scapy reads an answer, which must come from the destination, with right checksums."""
    found = IP(packet) if version == 4 else IPv6(packet)
    assert (found.src, found.dst) == ENDS[version][::-1]
    assert bytes(type(found)(packet)) == packet
    again = found.copy()
    for layer in (again, again.payload):
        for name in ("chksum", "cksum", "len", "plen"):
            if name in layer.fields:
                delattr(layer, name)
    assert bytes(again) == packet, "a checksum or a length"
    return found


@pytest.fixture(params=[4, 6])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def syn(version: int, payload: bytes = b"") -> bytes:
    return tcp_packet(ip(version), payload, **PORTS, flags="S", seq=0xFFFFFFFF, options=[("MSS", 1300)])


def test_a_syn_is_an_opening(version: int) -> None:
    assert parse_untrusted(syn(version)) == Opening(flow(version), syn(version))


@pytest.mark.parametrize("flags", ["A", "SA", "R", "F", "SR"])
def test_nothing_else_of_tcp_is(version: int, flags: str) -> None:
    assert parse_untrusted(tcp_packet(ip(version), b"", **PORTS, flags=flags)) is None


def test_ecn_does_not_hide_a_syn(version: int) -> None:
    assert isinstance(parse_untrusted(tcp_packet(ip(version), b"", **PORTS, flags="SEC")), Opening)


def test_a_reset_acknowledges_the_syn(version: int) -> None:
    opening = parse_untrusted(syn(version, b"early"))
    assert isinstance(opening, Opening)
    answer = dissected(version, reset(opening))[TCP]
    assert (answer.sport, answer.dport, str(answer.flags)) == (22, 1000, "RA")
    assert answer.ack == 5, "0xffffffff, the SYN, and 5 bytes"
    assert transport_sum(reset(opening)) == 0


@pytest.mark.parametrize(
    ("reason", "codes"),
    [
        (Unreachable.NETWORK, (0, 0)),
        (Unreachable.HOST, (1, 3)),
        (Unreachable.PORT, (3, 4)),
        (Unreachable.PROHIBITED, (13, 1)),
    ],
)
def test_unreachable_quotes_the_packet(version: int, reason: Unreachable, codes: tuple[int, int]) -> None:
    answer = dissected(version, unreachable(flow(version), syn(version), reason))
    if version == 4:
        assert (answer[ICMP].type, answer[ICMP].code) == (3, codes[0])
    else:
        assert answer[ICMPv6DestUnreach].code == codes[1]
    assert bytes(answer).endswith(syn(version))


def test_an_answer_is_never_longer_than_every_path_carries(version: int) -> None:
    long = udp_packet(ip(version), bytes(1300), **PORTS)
    assert len(unreachable(flow(version), long, Unreachable.PORT)) == {4: 576, 6: 1280}[version]


def test_the_quoted_head_of_a_datagram(version: int) -> None:
    head = datagram_head(flow(version, 53), 100)
    whole = udp_packet(ip(version), bytes(100), sport=1000, dport=53)
    read = IP(head) if version == 4 else IPv6(head)
    expected = IP(whole) if version == 4 else IPv6(whole)
    assert (read.src, read.dst, read[UDP].sport, read[UDP].dport) == (*ENDS[version], 1000, 53)
    assert read[UDP].len == expected[UDP].len
    name = "len" if version == 4 else "plen"
    assert getattr(read, name) == getattr(expected, name)


def ping(version: int, payload: bytes) -> bytes:
    request = (
        ICMP(id=7, seq=3) / Raw(payload) if version == 4 else ICMPv6EchoRequest(id=7, seq=3, data=payload)
    )
    return bytes(ip(version) / request)


@pytest.mark.parametrize("payload", [b"", b"odd", bytes(1300)])
def test_an_echo_and_its_reply(version: int, payload: bytes) -> None:
    echo = parse_untrusted(ping(version, payload))
    assert isinstance(echo, Echo)
    assert (echo.flow.source_port, echo.sequence, echo.payload) == (7, 3, payload)
    answer = dissected(version, echo_reply(echo.flow, echo.sequence, echo.payload))
    kind = ICMP if version == 4 else ICMPv6EchoReply
    assert (answer[kind].type, answer[kind].id, answer[kind].seq) == ({4: 0, 6: 129}[version], 7, 3)
    assert (bytes(answer[ICMP].payload) if version == 4 else answer[kind].data) == payload


def test_a_reply_begins_nothing(version: int) -> None:
    reply = ICMP(type=0) if version == 4 else ICMPv6EchoReply()
    assert parse_untrusted(bytes(ip(version) / reply)) is None


def test_a_fragment_begins_nothing() -> None:
    packet = bytearray(syn(4))
    packet[6:8] = b"\x00\x01"
    packet[10:12] = bytes(2)
    packet[10:12] = checksum(bytes(packet[:20])).to_bytes(2, "big")
    assert parse_untrusted(bytes(packet)) is None


@given(st.sampled_from([4, 6]), st.data())
def test_cut_and_changed_packets_are_none_or_answered(version: int, data: st.DataObject) -> None:
    packet = bytearray(data.draw(st.sampled_from([syn(version), ping(version, b"data")])))
    for at in data.draw(st.lists(st.integers(0, len(packet) - 1), max_size=4)):
        packet[at] = data.draw(st.integers(0, 255))
    found = parse_untrusted(bytes(packet[: data.draw(st.integers(0, len(packet)))]))
    if isinstance(found, Opening):
        reset(found)
    if found is not None:
        unreachable(found.flow, found.packet, Unreachable.HOST)


@given(st.binary(max_size=80))
def test_any_bytes(packet: bytes) -> None:
    parse_untrusted(packet)
