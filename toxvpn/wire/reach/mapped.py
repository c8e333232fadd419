"""The endpoint that our router has mapped to our UDP port, as peers of ours tell each other.

Who is behind a NAT is reached there without hole punching. Sans-IO; docs/wire-format.md §9; neighbours:
tox/reach/mapped.py, which sends and receives; portmap/, which asks the router.
"""

from ipaddress import AddressValueError, IPv4Address, IPv4Network
from struct import Struct

PACKET_ID = 206
Endpoint = tuple[str, int]
"""A numeric IPv4 address and a port."""
_FORM = Struct("!B4sH")  # packet ID, address, port; port 0: there is none any more
_NOBODYS = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
    )
]
"""This host, private, a carrier's NAT, this link, multicast and reserved (RFC 6890)."""
NONE = _FORM.pack(PACKET_ID, bytes(4), 0)


def may_be_public(host: str) -> bool:
    """Whether a host on the Internet may have that IPv4 address."""
    try:
        address = IPv4Address(host)
    except AddressValueError:
        return False
    return not any(address in network for network in _NOBODYS)


def encode(endpoint: Endpoint | None) -> bytes:
    """7 bytes; None: there is no such endpoint any more."""
    if endpoint is None:
        return NONE
    host, port = endpoint
    return _FORM.pack(PACKET_ID, IPv4Address(host).packed, port)


def decode_untrusted(packet: bytes) -> Endpoint | None:
    """The endpoint in a packet with our ID; None: there is none.

    Raises ValueError when the packet has the wrong size, or an address that is no public one.
    """
    if packet == NONE:
        return None
    if len(packet) != _FORM.size:
        raise ValueError("a packet of the wrong size")
    _, packed, port = _FORM.unpack(packet)
    host = str(IPv4Address(packed))
    if not may_be_public(host) or not port:
        raise ValueError("not an endpoint on the Internet")
    return host, port
