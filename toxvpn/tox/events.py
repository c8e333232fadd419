"""The events that a node's subscribers receive."""

from dataclasses import dataclass

from .._native.results import Connection
from .peer import Peer


@dataclass(frozen=True, slots=True)
class SelfConnection:
    """Our own connection to the Tox network changed."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class PeerConnection:
    """A peer connected, disconnected, or changed its path or friend number; `peer` has the new state."""

    peer: Peer
    before: Connection


@dataclass(frozen=True, slots=True)
class PeerRemoved:
    """The friendship has ended; from now on toxcore may reuse the friend number."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """The peer's status message arrived: after every connect, and on each change."""

    peer: Peer
    text: bytes


@dataclass(frozen=True, slots=True)
class PeerPacketSize:
    """`peer.packet_bytes` has changed."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class FriendRequest:
    """A stranger asks to come in; nothing is granted yet. `message` is untrusted, at most 1016 bytes."""

    public_key: bytes
    message: bytes


Event = SelfConnection | PeerConnection | PeerRemoved | PeerStatus | PeerPacketSize | FriendRequest
