"""NAT-PMP: asks a router to pass on what comes to one of its UDP ports (RFC 6886). Sans-IO.

Neighbours: pcp.py is its successor, by the same port; portmap/datagrams.py sends and receives.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct

PORT = 5351
VERSION = 0
_ANSWER = 0x80
_ADDRESS, _MAP_UDP = 0, 1
_ADDRESS_ANSWER = Struct("!BBHI4s")  # version, opcode, result, seconds since the router's start, address
_MAP = Struct("!BBHHHI")  # version, opcode, reserved, inner port, outer port, lifetime
_MAP_ANSWER = Struct("!BBHIHHI")  # version, opcode, result, seconds since …, inner port, outer port, lifetime
RESULTS = {
    1: "it does not know this version",
    2: "it does not allow it",
    3: "it has no network",
    4: "it has no room for more",
    5: "it does not know this request",
}

ADDRESS_REQUEST = bytes([VERSION, _ADDRESS])


@dataclass(frozen=True, slots=True)
class PmpRefusal:
    """`code`: the result code, which is not 0."""

    code: int

    @property
    def reason(self) -> str:
        return RESULTS.get(self.code, f"it refuses (code {self.code})")


@dataclass(frozen=True, slots=True)
class PmpMapped:
    """`port` of the router leads to our port for `lifetime_s`."""

    port: int
    lifetime_s: int


def map_request(inner_port: int, outer_port: int, lifetime_s: int) -> bytes:
    """12 bytes. `outer_port`: the one that is wished for, 0: any. A lifetime of 0 takes the mapping back."""
    return _MAP.pack(VERSION, _MAP_UDP, 0, inner_port, outer_port, lifetime_s)


def address_untrusted(packet: bytes) -> IPv4Address | PmpRefusal | None:
    """The router's outer address, from the answer to ADDRESS_REQUEST; None: it is no such answer."""
    if len(packet) != _ADDRESS_ANSWER.size:
        return _refusal(packet, _ADDRESS)
    version, opcode, result, _, address = _ADDRESS_ANSWER.unpack(packet)
    if (version, opcode) != (VERSION, _ANSWER | _ADDRESS):
        return None
    return PmpRefusal(result) if result else IPv4Address(address)


def mapped_untrusted(packet: bytes, inner_port: int) -> PmpMapped | PmpRefusal | None:
    """The mapping, from the answer to a `map_request` for that port; None: it is no such answer."""
    if len(packet) != _MAP_ANSWER.size:
        return _refusal(packet, _MAP_UDP)
    version, opcode, result, _, inner, outer, lifetime_s = _MAP_ANSWER.unpack(packet)
    if (version, opcode, inner) != (VERSION, _ANSWER | _MAP_UDP, inner_port):
        return None
    return PmpRefusal(result) if result else PmpMapped(outer, lifetime_s)


def _refusal(packet: bytes, opcode: int) -> PmpRefusal | None:
    """An answer that is shorter because it only refuses (RFC 6886 §3.5)."""
    if len(packet) < 4 or packet[0] != VERSION or packet[1] not in (_ANSWER | opcode, opcode):
        return None
    result = int.from_bytes(packet[2:4], "big")
    return PmpRefusal(result) if result else None
