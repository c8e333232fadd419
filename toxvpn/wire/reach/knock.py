"""Knocks: two peers that reach each other by way of a friend try whether they can do so directly.

A *knock* is sent past the friend; if it arrives, the peer's toxcore takes packets from there, and it says
that it has *heard* the knock. Before, each says *look*, so that both look for each other at once. Sans-IO;
docs/wire-format.md §10; neighbour: tox/reach/straight.py, which sends and receives.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

PACKET_ID = 212
LAST_TOKEN = 0xFFFF
_FORM = Struct("!BBH")  # packet ID, kind, token


class KnockKind(IntEnum):
    LOOK = 0
    KNOCK = 1
    HEARD = 2


@dataclass(frozen=True, slots=True)
class Knock:
    """`token`: 0 to 65535; who has heard a knock repeats it."""

    kind: KnockKind
    token: int = 0


def encode(knock: Knock) -> bytes:
    """4 bytes."""
    return _FORM.pack(PACKET_ID, knock.kind, knock.token)


def decode_untrusted(packet: bytes) -> Knock | None:
    """The content of a packet with our ID; None when its size or kind is wrong."""
    if len(packet) != _FORM.size:
        return None
    _, kind, token = _FORM.unpack(packet)
    return Knock(KnockKind(kind), token) if kind in set(KnockKind) else None
