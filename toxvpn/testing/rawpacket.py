"""IP packets made byte by byte, for tests that need thousands: scapy (craft.py) takes a millisecond each."""

import struct
from dataclasses import dataclass, replace
from ipaddress import ip_address

from .splitter import FRAGMENT, TCP, UDP, finished, ones_sum

DEST_OPTIONS = 60
ACK = 0x10
MORE_FRAGMENTS, DONT_FRAGMENT = 0x2000, 0x4000


@dataclass(frozen=True, slots=True)
class RawPacket:
    """One TCP or UDP packet; `replace` makes others of its flow.

    `ip_options` and `tcp_options` are multiples of 4 bytes, `extension` is a chain of IPv6 destination
    options, each of 8 bytes. `flags` has 12 bits: reserved ones, AE, and the byte of the rest.
    """

    source: str
    destination: str
    protocol: int = TCP
    ports: tuple[int, int] = (5001, 80)
    payload: bytes = b""
    tos: int = 0
    ttl: int = 64
    id: int = 0
    dont_fragment: bool = True
    ip_options: bytes = b""
    extensions: int = 0
    seq: int = 0
    ack: int = 1
    flags: int = ACK
    window: int = 500
    tcp_options: bytes = b""

    def build(self) -> bytes:
        """The packet, with correct lengths and checksums."""
        source, destination = ip_address(self.source), ip_address(self.destination)
        if source.version == 4:
            first = 0x45 + len(self.ip_options) // 4
            bits = DONT_FRAGMENT if self.dont_fragment else 0
            head = struct.pack("!BBHHHBBH", first, self.tos, 0, self.id, bits, self.ttl, self.protocol, 0)
            ip = head + source.packed + destination.packed + self.ip_options
        else:
            kind = DEST_OPTIONS if self.extensions else self.protocol
            head = struct.pack("!IHBB", 6 << 28 | self.tos << 20, 0, kind, self.ttl)
            kinds = [DEST_OPTIONS] * (self.extensions - 1) + [self.protocol]
            chain = b"".join(bytes([kind, 0, 1, 4, 0, 0, 0, 0]) for kind in kinds[: self.extensions])
            ip = head + source.packed + destination.packed + chain
        return finished(ip + self._transport() + self.payload)

    def _transport(self) -> bytes:
        if self.protocol == UDP:
            return struct.pack("!HHHH", *self.ports, 0, 0)
        bits = (5 + len(self.tcp_options) // 4) << 12 | self.flags
        return struct.pack("!HHIIHHHH", *self.ports, self.seq, self.ack, bits, self.window, 0, 0) + (
            self.tcp_options
        )

    def fragments(self, size: int) -> list[bytes]:
        """Cut by its sender into pieces of `size` bytes, a multiple of 8, of what follows the IP header."""
        whole = replace(self, dont_fragment=False).build()
        if whole[0] >> 4 == 6:
            return [_fragment6(whole, at, size) for at in range(0, len(whole) - 40, size)]
        start = (whole[0] & 15) * 4
        return [_fragment4(whole, start, at, size) for at in range(0, len(whole) - start, size)]


def _fragment4(whole: bytes, start: int, at: int, size: int) -> bytes:
    piece = whole[start + at : start + at + size]
    more = MORE_FRAGMENTS if start + at + size < len(whole) else 0
    head = bytearray(whole[:start])
    head[2:4] = (start + len(piece)).to_bytes(2, "big")
    head[6:8] = (more | at // 8).to_bytes(2, "big")
    head[10:12] = bytes(2)
    head[10:12] = (ones_sum(head) ^ 0xFFFF).to_bytes(2, "big")
    return bytes(head) + piece


def _fragment6(whole: bytes, at: int, size: int) -> bytes:
    piece = whole[40 + at : 40 + at + size]
    more = int(40 + at + size < len(whole))
    header = struct.pack("!BBHI", whole[6], 0, at | more, 7)
    return whole[:4] + struct.pack("!HBB", 8 + len(piece), FRAGMENT, whole[7]) + whole[8:40] + header + piece
