"""Cuts super-packets as Linux would, in plain Python: the reference for the compiled packet path.

It shares no code with the packet path, so that a mistake would have to be made twice.
"""

import struct

from .memory_tun import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VnetHeader

TCP, UDP, FRAGMENT = 6, 17, 44
FIN, PSH, CWR = 0x01, 0x08, 0x80
EXTENSIONS = (0, 43, 60, FRAGMENT)  # of IPv6: hop-by-hop, routing, destination options, fragment


def ones_sum(data: bytes | bytearray, total: int = 0) -> int:
    """The ones' complement sum of RFC 1071, 16 bits, not complemented."""
    total += sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def transport_of(packet: bytes | bytearray) -> tuple[int, int]:
    """Where the transport header begins, and its protocol; `packet` is well-formed IP."""
    if packet[0] >> 4 == 4:
        return (packet[0] & 15) * 4, packet[9]
    at, kind = 40, packet[6]
    while kind in EXTENSIONS:
        kind, at = packet[at], at + (8 if kind == FRAGMENT else (packet[at + 1] + 1) * 8)
    return at, kind


def pseudo_sum(packet: bytes | bytearray) -> int:
    """The sum of the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1)."""
    start, protocol = transport_of(packet)
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    return ones_sum(addresses + struct.pack("!II", len(packet) - start, protocol))


def finished(packet: bytes | bytearray) -> bytes:
    """`packet`, TCP or UDP, with the lengths and checksums that belong to it."""
    done = bytearray(packet)
    start, protocol = transport_of(packet)
    if packet[0] >> 4 == 4:
        done[2:4] = len(packet).to_bytes(2, "big")
        done[10:12] = bytes(2)
        done[10:12] = (ones_sum(done[:start]) ^ 0xFFFF).to_bytes(2, "big")
    else:
        done[4:6] = (len(packet) - 40).to_bytes(2, "big")
    if protocol == UDP:
        done[start + 4 : start + 6] = (len(packet) - start).to_bytes(2, "big")
    field = start + (16 if protocol == TCP else 6)
    done[field : field + 2] = bytes(2)
    total = ones_sum(done[start:], pseudo_sum(done)) ^ 0xFFFF
    if total == 0 and protocol == UDP:
        total = 0xFFFF  # 0 says that there is none (RFC 768)
    done[field : field + 2] = total.to_bytes(2, "big")
    return bytes(done)


def split(vnet: VnetHeader, packet: bytes) -> list[bytes]:
    """The packets that a TCP or UDP super-packet stands for (virtio 1.2 §5.1.6.2).

    Raises ValueError for one that does not add up.
    """
    start, protocol = transport_of(packet)
    header = start + ((packet[start + 12] >> 4) * 4 if protocol == TCP else 8)
    _check(vnet, packet, start, protocol, header)
    payload = packet[header:]
    parts = []
    for number, offset in enumerate(range(0, len(payload), vnet.gso_size)):
        piece = payload[offset : offset + vnet.gso_size]
        part = bytearray(packet[:header] + piece)
        if packet[0] >> 4 == 4:
            part[4:6] = ((int.from_bytes(packet[4:6], "big") + number) & 0xFFFF).to_bytes(2, "big")
        if protocol == TCP:
            sequence = int.from_bytes(packet[start + 4 : start + 8], "big") + offset
            part[start + 4 : start + 8] = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
            if offset:
                part[start + 13] &= ~CWR
            if offset + len(piece) < len(payload):
                part[start + 13] &= ~(FIN | PSH)
        parts.append(finished(part))
    return parts


def _check(vnet: VnetHeader, packet: bytes, start: int, protocol: int, header: int) -> None:
    version = packet[0] >> 4
    stated = int.from_bytes(packet[2:4], "big") if version == 4 else 40 + int.from_bytes(packet[4:6], "big")
    tcp = protocol == TCP
    kind = (GSO_TCPV4 if version == 4 else GSO_TCPV6) if tcp else GSO_UDP_L4
    field = start + (16 if tcp else 6)
    wrong = {
        "length": stated != len(packet),
        "header checksum": version == 4 and ones_sum(packet[:start]) != 0xFFFF,
        "UDP length": not tcp and int.from_bytes(packet[start + 4 : start + 6], "big") != len(packet) - start,
        "too many datagrams": not tcp and len(packet) - header > 64 * vnet.gso_size,
        "virtio header": vnet != VnetHeader(NEEDS_CSUM, kind, header, vnet.gso_size, start, field - start),
        "segment size": vnet.gso_size == 0 or header >= len(packet),
        "pseudo sum": (int.from_bytes(packet[field : field + 2], "big") - pseudo_sum(packet)) % 0xFFFF != 0,
    }
    if any(wrong.values()):
        raise ValueError(
            f"{', '.join(name for name, found in wrong.items() if found)}: {vnet} {packet.hex()}"
        )
