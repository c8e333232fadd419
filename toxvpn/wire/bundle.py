"""Bundles: small IP packets to one peer that follow each other in one lossy packet (docs/wire-format.md §2).

No lengths stand between them: each packet's header has its own. The compiled packet path does the same
(_native/path/bundle.c); this is its readable reference, and tests compare the two.
"""

from collections.abc import Iterable
from struct import unpack_from

MAX_PACKETS = 16
"""In a bundle: so much work does one packet of a peer make."""

_LEAST = {4: 20, 6: 40}  # bytes of a header


def join(packets: Iterable[bytes], mtu: int) -> list[bytes]:
    """The contents of the lossy packets that carry these, in order.

    They are bundles, of at most `mtu` bytes and one IP version, and packets larger than half of `mtu`.
    """
    bundles: list[list[bytes]] = []
    for packet in packets:
        if not (bundles and _joins(bundles[-1], packet, mtu)):
            bundles.append([])
        bundles[-1].append(packet)
    return [b"".join(bundle) for bundle in bundles]


def _joins(bundle: list[bytes], packet: bytes, mtu: int) -> bool:
    return (
        max(len(packet), len(bundle[-1])) <= mtu // 2
        and len(bundle) < MAX_PACKETS
        and packet[0] >> 4 == bundle[-1][0] >> 4
        and sum(map(len, bundle)) + len(packet) <= mtu
    )


def split_untrusted(body: bytes) -> list[bytes]:
    """The IP packets that fill `body`; none unless it is at most 16 of one IP version.

    Their headers are checked no further than their lengths.
    """
    packets: list[bytes] = []
    while body:
        length = _length_untrusted(body)
        if length is None or len(packets) == MAX_PACKETS or (packets and body[0] >> 4 != packets[0][0] >> 4):
            return []
        packets.append(body[:length])
        body = body[length:]
    return packets


def _length_untrusted(body: bytes) -> int | None:
    """The bytes of the packet that begins there; None if it is not IP, or not complete."""
    version = body[0] >> 4
    least = _LEAST.get(version, len(body) + 1)
    if len(body) < least:
        return None
    (length,) = unpack_from("!H", body, 2) if version == 4 else unpack_from("!H", body, 4)
    if version == 6:
        length += least
    return length if least <= length <= len(body) else None
