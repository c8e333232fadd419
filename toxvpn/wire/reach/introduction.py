"""What a Tox node is told of a friend: its DHT key, and nodes that know where it is. Sans-IO.

The content of a "DHT public key packet" (The Tox Reference), which friends send each other through the onion:
the ID, a number that grows, the DHT key, and up to four nodes, in toxcore's form. tox/reach/reunion.py gives
our own toxcore one, with what was known of the friend when it was last met.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct

MOST_NODES = 4
KEY_BYTES = 32
_HEAD = Struct(f"!BQ{KEY_BYTES}s")  # packet ID, number, DHT key
_ID = 156
_TAIL = Struct(f"!H{KEY_BYTES}s")  # port, DHT key of the node
_FAMILIES = {(4, False): 2, (6, False): 10, (4, True): 130, (6, True): 138}
"""By IP version, and whether it is a TCP relay."""


@dataclass(frozen=True, slots=True)
class NodeAt:
    """A node of the DHT, or a TCP relay. `host` is a numeric address."""

    host: str
    port: int
    dht_key: bytes
    relay: bool = False


def encode(number: int, dht_key: bytes, nodes: Iterable[NodeAt]) -> bytes:
    """41 bytes, and 39 or 51 for each of the first four nodes.

    `number`: toxcore takes only larger ones than before; friends themselves send the time of day, in seconds.

    Raises ValueError when a host is not an address.
    """
    packed = [_node(node) for node in nodes]
    return _HEAD.pack(_ID, number, dht_key) + b"".join(packed[:MOST_NODES])


def _node(node: NodeAt) -> bytes:
    address = ip_address(node.host)
    family = _FAMILIES[address.version, node.relay]
    return bytes([family]) + address.packed + _TAIL.pack(node.port, node.dht_key)
