"""The TCP relays that a peer is connected to, as it tells us: where to find it without a direct path.

Sans-IO; docs/wire-format.md §8; neighbour: tox/reach/reunion.py, which sends and receives. libtoxcore tells
friends of its relays too, but keeps that to itself.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct

from .introduction import KEY_BYTES, NodeAt

PACKET_ID = 205
MOST = 4
_ENTRY = Struct(f"!16sH{KEY_BYTES}s")  # IPv6 or mapped IPv4 address, port, DHT key


def encode(relays: Iterable[NodeAt]) -> bytes:
    """One byte, and 50 for each of the first four. Raises ValueError when a host is not an address."""
    packed = [_ENTRY.pack(_sixteen(ip_address(each.host)), each.port, each.dht_key) for each in relays]
    return bytes([PACKET_ID]) + b"".join(packed[:MOST])


def decode_untrusted(packet: bytes) -> tuple[NodeAt, ...] | None:
    """The relays in a packet with our ID; None when its size is wrong.

    Addresses that are no host's, or this host's own, are left out.
    """
    entries = packet[1:]
    if len(entries) % _ENTRY.size or len(entries) > MOST * _ENTRY.size:
        return None
    return tuple(relay for each in _ENTRY.iter_unpack(entries) if (relay := _relay(*each)) is not None)


def _relay(packed: bytes, port: int, dht_key: bytes) -> NodeAt | None:
    address = IPv6Address(packed)
    plain = address.ipv4_mapped or address
    no_host = (
        plain.is_loopback,
        plain.is_multicast,
        plain.is_unspecified,
        plain.is_link_local,
        plain.is_reserved,
    )
    if any(no_host) or not port:
        return None
    return NodeAt(str(plain), port, dht_key, relay=True)


def _sixteen(address: IPv4Address | IPv6Address) -> bytes:
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
