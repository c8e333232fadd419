"""IP packets in lossy Tox packets: their sizes, their frames, and which are well-formed.

In: bytes of lossy packets or of IP packets; out: what they say, or None for malformed ones. The compiled
packet path does the same without Python (packet.c); this is its readable reference, and tests compare the
two.

How large a packet may be, from the outside in:

    1500  Ethernet
    1448  an IPv6 packet around toxcore's largest UDP payload (1428 with IPv4)
    1400  toxcore's largest UDP payload: 27 bytes of its own around a custom packet
    1373  a custom packet (TOX_MAX_CUSTOM_PACKET_SIZE)
    1368  an IP packet behind packet ID 200 and struct tun_pi (1372 behind the bare ID 201)

So the default MTU of 1368 fits every path that carries 1448 bytes: Ethernet, PPPoE (1492), most mobile
networks. For each peer on a narrower path, pathmtu.py finds out what it carries, and packets to the peer are
limited to that. IPv6 packets of up to 1280 bytes must be carried all the same: the outer UDP packet is
fragmented then.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from struct import pack, unpack_from

from .bundle import split_untrusted

CUSTOM_PACKET_BYTES = 1373  # tox.h TOX_MAX_CUSTOM_PACKET_SIZE
VPN_PACKET_ID = 200
STACK_PACKET_ID = 201
VPN_FRAME_BYTES = 5  # packet ID and struct tun_pi
MIN_MTU = 576  # what every IPv4 host accepts (RFC 791)
MAX_MTU = CUSTOM_PACKET_BYTES - VPN_FRAME_BYTES
"""The largest MTU of the VPN's device, and its default."""
STACK_MTU = CUSTOM_PACKET_BYTES - 1
"""The MTU of a private stack's device, whose frame is the packet ID alone."""
MAX_IP_BYTES = 65535

ETHERTYPES = {4: 0x0800, 6: 0x86DD}
TCP, UDP = 6, 17
UNKNOWN_PROTOCOL = 255

_FRAGMENT = 44
_AUTHENTICATION = 51
_EXTENSIONS = {0, 43, _FRAGMENT, _AUTHENTICATION, 60}
_MAX_EXTENSIONS = 8


def vpn_mtu(packet_bytes: int) -> int:
    """The largest IP packet of the VPN that fits into a custom packet of so many bytes."""
    return packet_bytes - VPN_FRAME_BYTES


@dataclass(frozen=True, slots=True)
class Header:
    """The fields that routing needs; `transport` is the offset of the transport header.

    `fragment_offset` (bytes) is not 0 in a later fragment, which has no transport header.
    """

    version: int
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    protocol: int
    transport: int
    fragment_offset: int = 0
    fragment: bool = False


def frame_vpn(packet: bytes) -> bytes:
    """The lossy packet for an IP packet of the VPN, or a bundle of them (docs/wire-format.md §2)."""
    return pack("!BHH", VPN_PACKET_ID, 0, ETHERTYPES[packet[0] >> 4]) + packet


def unframe_vpn_untrusted(data: bytes) -> list[bytes]:
    """The well-formed IP packets in a lossy packet; none when flags, EtherType or lengths are wrong."""
    packets = split_untrusted(data[VPN_FRAME_BYTES:])
    if not packets or data[:VPN_FRAME_BYTES] != frame_vpn(packets[0])[:VPN_FRAME_BYTES]:
        return []
    return [packet for packet in packets if parse_untrusted(packet)]


def parse_untrusted(packet: bytes, *, exact: bool = True) -> Header | None:
    """The header of a packet whose length is the one it states; None for anything else.

    With `exact` False the length is ignored, as where an ICMP error quotes the beginning of a packet.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return _parse_ipv4(packet, exact)
    return _parse_ipv6(packet, exact) if version == 6 else None


def _parse_ipv4(packet: bytes, exact: bool) -> Header | None:
    header = (packet[0] & 15) * 4
    if len(packet) < 20 or not 20 <= header <= len(packet):
        return None
    total, _, fragment, _, protocol = unpack_from("!HHHBB", packet, 2)
    if exact and total != len(packet):
        return None
    offset = (fragment & 0x1FFF) * 8
    source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    protocol = UNKNOWN_PROTOCOL if offset else protocol
    return Header(4, source, destination, protocol, header, offset, bool(fragment & 0x3FFF))


def _parse_ipv6(packet: bytes, exact: bool) -> Header | None:
    if len(packet) < 40 or (exact and unpack_from("!H", packet, 4)[0] + 40 != len(packet)):
        return None
    chain = _walk_extensions(packet)
    if chain is None:
        return None
    return Header(6, IPv6Address(packet[8:24]), IPv6Address(packet[24:40]), *chain)


def _walk_extensions(packet: bytes) -> tuple[int, int, int, bool] | None:
    """The last fields of a Header, behind the extension headers (RFC 8200 §4); None if cut short."""
    kind, at, offset, fragment = packet[6], 40, 0, False
    for _ in range(_MAX_EXTENSIONS + 1):
        if kind not in _EXTENSIONS:
            return kind, at, offset, fragment
        if at + 8 > len(packet):
            return None
        length = _extension_bytes(kind, packet[at + 1])
        if at + length > len(packet):
            return None
        if kind == _FRAGMENT:
            offset, fragment = unpack_from("!H", packet, at + 2)[0] & 0xFFF8, True
        kind, at = packet[at], at + length
        if offset:
            break
    return UNKNOWN_PROTOCOL, at, offset, fragment


def _extension_bytes(kind: int, length_field: int) -> int:
    if kind == _FRAGMENT:
        return 8
    return (length_field + 2) * 4 if kind == _AUTHENTICATION else (length_field + 1) * 8


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); 0 over data that contains its own right checksum."""
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big") for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
