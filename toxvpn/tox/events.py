"""What a node tells its subscribers."""

from dataclasses import dataclass

from .._native.results import Connection
from .peer import Peer


@dataclass(frozen=True, slots=True)
class SelfConnection:
    """Our own reach into the Tox network changed."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class PeerConnection:
    """A peer came, went, changed its path or its number; `peer` has the new state already."""

    peer: Peer
    before: Connection


@dataclass(frozen=True, slots=True)
class PeerRemoved:
    """The friendship is over; toxcore may give its number to another one from here on."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """The peer's status message arrived: delivered once on every connect, and on each change."""

    peer: Peer
    text: bytes


@dataclass(frozen=True, slots=True)
class PeerPacketSize:
    """`peer.packet_bytes` has changed."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class FriendRequest:
    """A stranger asks; nothing has been granted. `message` is untrusted, at most 1016 bytes."""

    public_key: bytes
    message: bytes


Event = SelfConnection | PeerConnection | PeerRemoved | PeerStatus | PeerPacketSize | FriendRequest
