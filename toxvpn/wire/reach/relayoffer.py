"""What a machine that relays for its friends tells each of them: which of the others it reaches now.

A friend is named by an index, which packets of the detour carry (_native/net/detour.h), and by a tag: eight
bytes of a hash of three keys, the relay's, the reader's and the friend's. Who knows the friend finds it by
the tag; who does not learns nothing of its key. Sans-IO; docs/wire-format.md §10; neighbours:
tox/reach/relaying.py sends, tox/reach/detours.py receives.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from struct import Struct

PACKET_ID = 211
MOST = 64
TAG_BYTES = 8
_ENTRY = Struct(f"!B{TAG_BYTES}s")


def tag(relay: bytes, reader: bytes, friend: bytes) -> bytes:
    """8 bytes; the arguments are public keys."""
    return blake2b(relay + reader + friend, digest_size=TAG_BYTES).digest()


def encode(relay: bytes, reader: bytes, friends: Mapping[int, bytes]) -> bytes:
    """One byte, and 9 for each of the first 64 friends, which are keys by index from 0 to 255."""
    entries = [_ENTRY.pack(index, tag(relay, reader, key)) for index, key in friends.items()]
    return bytes([PACKET_ID]) + b"".join(entries[:MOST])


def decode_untrusted(
    packet: bytes, relay: bytes, reader: bytes, known: Iterable[bytes]
) -> dict[bytes, int] | None:
    """The indices of those of the `known` keys that are in it; None when its size is wrong."""
    entries = packet[1:]
    if len(entries) % _ENTRY.size or len(entries) > MOST * _ENTRY.size:
        return None
    by_tag = {each: index for index, each in _ENTRY.iter_unpack(entries)}
    if not by_tag:
        return {}
    tags = {key: tag(relay, reader, key) for key in known if key not in (relay, reader)}
    return {key: by_tag[each] for key, each in tags.items() if each in by_tag}
