"""IP packets made with scapy, complete or as the kernel's offload hands them over."""

from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from ..wire.ip import checksum
from .memory_tun import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VnetHeader

TIMESTAMP = [("NOP", None), ("NOP", None), ("Timestamp", (1000, 2000))]


def ip_header(version: int, source: object, destination: object, **fields: Any) -> Packet:
    """An IP header; `ttl`, `tos`, `flags`, `id` are IPv4's, and set their counterparts in IPv6."""
    if version == 4:
        return IP(src=str(source), dst=str(destination), **({"flags": "DF"} | fields))
    same = {"ttl": "hlim", "tos": "tc"}
    renamed = {same[name]: value for name, value in fields.items() if name in same}
    return IPv6(src=str(source), dst=str(destination), **renamed)


def tcp_packet(ip: Packet, payload: bytes, **fields: Any) -> bytes:
    return bytes(ip / TCP(**({"sport": 5001, "dport": 80, "flags": "A"} | fields)) / Raw(payload))


def udp_packet(ip: Packet, payload: bytes, **fields: Any) -> bytes:
    return bytes(ip / UDP(**({"sport": 5001, "dport": 53} | fields)) / Raw(payload))


@dataclass(frozen=True, slots=True)
class Dissected:
    """A packet as scapy reads it, and whether its checksums are right."""

    ip: Packet
    transport: Packet
    payload: bytes
    valid: bool

    @property
    def flags(self) -> str:
        return str(self.transport.flags)


def dissect(packet: bytes) -> Dissected:
    """`packet` is complete TCP or UDP over IPv4 or IPv6 without extension headers."""
    ip = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    transport = ip[TCP] if TCP in ip else ip[UDP]
    valid = transport_sum(packet) == 0 and (ip.version == 6 or checksum(packet[: ip.ihl * 4]) == 0)
    return Dissected(ip, transport, bytes(transport.payload), valid)


def transport_sum(packet: bytes) -> int:
    """Checksum over pseudo header and transport part; 0 when the one inside is right."""
    return checksum(_pseudo_header(packet) + packet[_transport_offset(packet) :])


def offloaded(packet: bytes, segment_bytes: int) -> tuple[bytes, VnetHeader]:
    """A complete TCP or UDP packet as the kernel hands over a super-packet of such segments.

    Its checksum field holds the pseudo header's sum, not complemented.
    """
    ip = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    start = _transport_offset(packet)
    tcp = TCP in ip
    kind = (GSO_TCPV4 if ip.version == 4 else GSO_TCPV6) if tcp else GSO_UDP_L4
    header = start + (ip[TCP].dataofs * 4 if tcp else 8)
    offset = 16 if tcp else 6
    vnet = VnetHeader(NEEDS_CSUM, kind, header, segment_bytes, start, offset)
    return _with_pseudo_sum(packet, start + offset), vnet


def unfinished(packet: bytes) -> tuple[bytes, VnetHeader]:
    """A complete packet as the kernel hands it over when it leaves the checksum to us."""
    body, vnet = offloaded(packet, 0)
    return body, VnetHeader(NEEDS_CSUM, 0, 0, 0, vnet.csum_start, vnet.csum_offset)


def _with_pseudo_sum(packet: bytes, field: int) -> bytes:
    total = checksum(_pseudo_header(packet)) ^ 0xFFFF
    return packet[:field] + total.to_bytes(2, "big") + packet[field + 2 :]


def _transport_offset(packet: bytes) -> int:
    return (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40


def _pseudo_header(packet: bytes) -> bytes:
    length = len(packet) - _transport_offset(packet)
    if packet[0] >> 4 == 4:
        return packet[12:20] + bytes([0, packet[9]]) + length.to_bytes(2, "big")
    return packet[8:40] + length.to_bytes(4, "big") + bytes([0, 0, 0, packet[6]])
