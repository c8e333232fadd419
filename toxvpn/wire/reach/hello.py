"""What a toxvpn tells the local network: its DHT key, and the UDP port that its toxcore is at.

libtoxcore's own announcements reach the ports 33445 to 33545 alone, and ours is at any port. Whoever hears a
greeting asks that toxcore for nodes of the DHT, and so both know each other. Sans-IO; docs/wire-format.md;
neighbour: tox/reach/greeter.py, which sends and receives.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from struct import Struct

KEY_BYTES = 32
_MAGIC = b"toxvpn\x00\x01"
_FORM = Struct(f"!{len(_MAGIC)}sH{KEY_BYTES}s")  # magic, port, DHT key
GREETING_BYTES = _FORM.size
LOCAL = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"))
)
"""RFC 1918, RFC 3927, RFC 6598: what libtoxcore takes for a local network."""


@dataclass(frozen=True, slots=True)
class Greeting:
    dht_key: bytes
    port: int


def encode(greeting: Greeting) -> bytes:
    """42 bytes."""
    return _FORM.pack(_MAGIC, greeting.port, greeting.dht_key)


def decode_untrusted(datagram: bytes) -> Greeting | None:
    """None: it is not a greeting of this version."""
    if len(datagram) != _FORM.size:
        return None
    magic, port, dht_key = _FORM.unpack(datagram)
    return Greeting(dht_key, port) if magic == _MAGIC and port else None


def is_local(host: str) -> bool:
    """Whether this address, as text, is one of a local network; those of IPv6 are none."""
    return ":" not in host and any(IPv4Address(host) in network for network in LOCAL)
