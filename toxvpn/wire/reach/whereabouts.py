"""How peers of ours find each other again after one has moved: each tells the other its DHT key.

The key is the one that toxcore makes at each start for its part in the DHT. Who knows it, and where its owner
was, can ask there at once, without the help of the network. Sans-IO; docs/wire-format.md §7; neighbour:
tox/reach/recovery.py, which sends and receives.
"""

from dataclasses import dataclass
from struct import Struct

PACKET_ID = 203
KEY_BYTES = 32
_FORM = Struct(f"!BB{KEY_BYTES}s")  # packet ID, flags, DHT key
_ASKS, _MOVED = 1, 2


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """`asks`: an answer is wanted. `moved`: the sender has another address than it had."""

    dht_key: bytes
    asks: bool = False
    moved: bool = False


def encode(told: Whereabouts) -> bytes:
    """34 bytes."""
    return _FORM.pack(PACKET_ID, told.asks * _ASKS | told.moved * _MOVED, told.dht_key)


def decode_untrusted(packet: bytes) -> Whereabouts | None:
    """The content of a packet with our ID; None when its size is wrong. Unknown flags are ignored."""
    if len(packet) != _FORM.size:
        return None
    _, flags, dht_key = _FORM.unpack(packet)
    return Whereabouts(dht_key, bool(flags & _ASKS), bool(flags & _MOVED))
