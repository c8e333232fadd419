"""What begins a conversation, a TCP SYN or an echo request, and a router's answers to it, without sockets.

In: IP packets of a peer; out: what they ask for, or None, and packets to send back: a reset, "unreachable",
or an echo reply. Sources: RFC 9293 §3.10.7.1 (reset), RFC 792, RFC 1812 §5.2.7.1 and RFC 4443 §3.1
(unreachable), RFC 792 and RFC 4443 §4.2 (echo reply).
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from struct import pack, pack_into, unpack_from
from typing import NamedTuple

from .ip import TCP, UDP, checksum
from .ip import parse_untrusted as parse_ip_untrusted

Address = IPv4Address | IPv6Address

ICMP, ICMPV6 = 1, 58
_TTL = 64
_SYN, _RST, _ACK, _FIN = 0x02, 0x04, 0x10, 0x01
_ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}
_ECHO_REPLY = {4: 0, 6: 129}
_UNREACHABLE = {4: 3, 6: 1}
_QUOTED_BYTES = {4: 576 - 28, 6: 1280 - 48}  # the largest answer (RFC 1812 §4.3.2.3, RFC 4443 §3.1)


class Unreachable(Enum):
    """Why a packet went nowhere: the codes for IPv4 and IPv6."""

    NETWORK = (0, 0)
    HOST = (1, 3)
    PORT = (3, 4)
    PROHIBITED = (13, 1)


class FlowEnds(NamedTuple):
    """The two ends of a conversation, the peer's first. An echo's source port is its identifier."""

    source: Address
    source_port: int
    destination: Address
    destination_port: int


@dataclass(frozen=True, slots=True)
class Opening:
    """A TCP SYN."""

    flow: FlowEnds
    packet: bytes


@dataclass(frozen=True, slots=True)
class Echo:
    """An echo request; `payload` is what the answer must repeat."""

    flow: FlowEnds
    sequence: int
    payload: bytes
    packet: bytes


def parse_untrusted(packet: bytes) -> Opening | Echo | None:
    """What a whole, unfragmented packet asks for; None for any other."""
    header = parse_ip_untrusted(packet)
    if header is None:
        return None
    at, ends = header.transport, (header.source, header.destination)
    if header.protocol == TCP and len(packet) >= at + 20:
        source_port, destination_port = unpack_from("!HH", packet, at)
        if packet[at + 13] & (_SYN | _RST | _ACK | _FIN) == _SYN:
            return Opening(FlowEnds(ends[0], source_port, ends[1], destination_port), packet)
    elif header.protocol in _ECHO_REQUEST and len(packet) >= at + 8:
        kind, code, _, identifier, sequence = unpack_from("!BBHHH", packet, at)
        if (kind, code) == (_ECHO_REQUEST[header.protocol], 0):
            return Echo(FlowEnds(ends[0], identifier, ends[1], 0), sequence, packet[at + 8 :], packet)
    return None


def reset(opening: Opening) -> bytes:
    """The answer of a host where nobody listens."""
    flow = opening.flow
    at = parse_ip_untrusted(opening.packet).transport  # type: ignore[union-attr]
    sequence, offset = unpack_from("!I4xB", opening.packet, at + 4)
    after = sequence + 1 + len(opening.packet) - at - (offset >> 4) * 4
    segment = bytearray(
        pack(
            "!HHIIBBHHH",
            flow.destination_port,
            flow.source_port,
            0,
            after & 0xFFFFFFFF,
            5 << 4,
            _RST | _ACK,
            0,
            0,
            0,
        )
    )
    return _ip(flow.destination, flow.source, TCP, segment, 16)


def unreachable(flow: FlowEnds, packet: bytes, reason: Unreachable) -> bytes:
    """Quotes the packet, of which the head is enough, in the destination's name."""
    version = flow.source.version
    code = reason.value[version == 6]
    message = bytearray(pack("!BBHI", _UNREACHABLE[version], code, 0, 0) + packet[: _QUOTED_BYTES[version]])
    return _icmp(flow.destination, flow.source, message)


def echo_reply(flow: FlowEnds, sequence: int, payload: bytes) -> bytes:
    message = bytearray(
        pack("!BBHHH", _ECHO_REPLY[flow.source.version], 0, 0, flow.source_port, sequence) + payload
    )
    return _icmp(flow.destination, flow.source, message)


def datagram_head(flow: FlowEnds, payload_bytes: int) -> bytes:
    """The headers of a UDP datagram of that flow, to be quoted where the packet itself is not at hand."""
    segment = bytearray(pack("!HHHH", flow.source_port, flow.destination_port, 8 + payload_bytes, 0))
    return _ip(flow.source, flow.destination, UDP, segment, None, payload_bytes)


def _icmp(source: Address, destination: Address, message: bytearray) -> bytes:
    return _ip(source, destination, ICMP if source.version == 4 else ICMPV6, message, 2)


def _ip(
    source: Address,
    destination: Address,
    protocol: int,
    segment: bytearray,
    checksum_at: int | None,
    more_bytes: int = 0,
) -> bytes:
    """A packet around the segment, whose checksum is put in, of which `more_bytes` are left out."""
    if checksum_at is not None:
        pseudo = _pseudo_header(source, destination, protocol, len(segment)) if protocol != ICMP else b""
        pack_into("!H", segment, checksum_at, checksum(pseudo + segment))
    length = len(segment) + more_bytes
    if source.version == 6:
        header = pack("!IHBB", 6 << 28, length, protocol, _TTL) + source.packed + destination.packed
        return header + segment
    head = bytearray(pack("!BBHHHBBH", 4 << 4 | 5, 0, 20 + length, 0, 0, _TTL, protocol, 0))
    head += source.packed + destination.packed
    pack_into("!H", head, 10, checksum(bytes(head)))
    return bytes(head + segment)


def _pseudo_header(source: Address, destination: Address, protocol: int, length: int) -> bytes:
    """RFC 9293 §3.1, RFC 8200 §8.1."""
    return (
        source.packed + destination.packed + pack("!HH" if source.version == 4 else "!II", protocol, length)
    )
