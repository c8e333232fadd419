"""PCP: asks a router to pass on what comes to one of its UDP ports (RFC 6887, the MAP opcode). Sans-IO.

Neighbours: natpmp.py is its predecessor, by the same port; portmap/datagrams.py sends and receives.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from struct import Struct

from . import natpmp

PORT = natpmp.PORT
NONCE_BYTES = 12
MOST_BYTES = 1100
_VERSION = 2
_MAP, _ANSWER = 1, 0x80
_UDP = 17
_REQUEST = Struct("!BBxxI16s")  # version, opcode, lifetime, our address
_RESPONSE = Struct("!BBxBII12x")  # version, opcode, result, lifetime, seconds since the router's start
_BODY = Struct(f"!{NONCE_BYTES}sB3xHH16s")  # nonce, protocol, inner port, outer port, outer address
_SIZE = _RESPONSE.size + _BODY.size
RESULTS = {
    1: "it does not know this version",
    2: "it does not allow it",
    3: "it could not read the request",
    4: "it does not know this request",
    7: "it has no network",
    8: "it has no room for more",
    9: "it does not map UDP",
    10: "it allows no more mappings for this machine",
    11: "it cannot give that port",
    12: "another NAT is between it and this machine",
}


@dataclass(frozen=True, slots=True)
class PcpMapped:
    """`host`:`port` of the router lead to our port for `lifetime_s`."""

    host: IPv4Address
    port: int
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class PcpRefusal:
    """`older`: the router speaks NAT-PMP alone."""

    code: int
    older: bool = False

    @property
    def reason(self) -> str:
        return RESULTS.get(self.code, f"it refuses (code {self.code})")


@dataclass(frozen=True, slots=True)
class PcpRequest:
    """What belongs to one mapping for as long as it lasts. `nonce`: 12 random bytes."""

    nonce: bytes
    own: IPv4Address
    inner_port: int

    def encode(self, outer_port: int, lifetime_s: int) -> bytes:
        """60 bytes. `outer_port`: the one that is wished for. A lifetime of 0 takes the mapping back."""
        head = _REQUEST.pack(_VERSION, _MAP, lifetime_s, _sixteen(self.own))
        wish = _sixteen(IPv4Address(0))
        return head + _BODY.pack(self.nonce, _UDP, self.inner_port, outer_port, wish)

    def answer_untrusted(self, packet: bytes) -> PcpMapped | PcpRefusal | None:
        """What the router answers to this request; None: it is no answer to it.

        The nonce shows that the answer is not forged by who cannot see the request.
        """
        if len(packet) >= 4 and packet[0] == natpmp.VERSION and packet[1] & _ANSWER:
            return PcpRefusal(1, older=True)
        if not _SIZE <= len(packet) <= MOST_BYTES or len(packet) % 4:
            return None
        version, opcode, result, lifetime_s, _ = _RESPONSE.unpack_from(packet)
        nonce, protocol, inner, outer, host = _BODY.unpack_from(packet, _RESPONSE.size)
        asked = (_VERSION, _ANSWER | _MAP, self.nonce, _UDP, self.inner_port)
        if (version, opcode, nonce, protocol, inner) != asked:
            return None
        if result:
            return PcpRefusal(result)
        address = IPv6Address(host).ipv4_mapped
        return None if address is None else PcpMapped(address, outer, lifetime_s)


def _sixteen(address: IPv4Address) -> bytes:
    return bytes(10) + b"\xff\xff" + address.packed
