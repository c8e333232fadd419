"""The events that `FriendTunnels` (friend.py) reports, in the order in which they happened.

`handle` is a number that names a tunnel locally from its first event to its last: what `open()`
returned for ours, what `OpenRequested` brought for theirs. A handle is never used twice.
"""

import enum
from dataclasses import dataclass

from ..socks5 import ReplyCode
from .frames import Version


class ResetReason(enum.StrEnum):
    """The reason why a tunnel broke, in words for a log line."""

    PEER_RESET = "the peer reset it"
    CONNECTION_LOST = "the peer went offline"
    PROTOCOL_ERROR = "the peer broke the protocol"
    BUFFER_FULL = "the local side reads too slowly, and a tuntox peer cannot be told to slow down"


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opened the tunnel that `open()` asked for; data may follow in both directions."""

    handle: int


@dataclass(frozen=True, slots=True)
class OpenFailed:
    """The tunnel that `open()` asked for could not be opened; last event of the handle."""

    handle: int
    reason: ReplyCode
    text: str


@dataclass(frozen=True, slots=True)
class OpenRequested:
    """The peer asks for a tunnel: answer with `accept(handle)` or `refuse(handle, ...)`.

    `host` is 1 to 255 visible ASCII characters, otherwise unchecked; `port` is 0 to 65535.
    """

    handle: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """The peer's request is void: it went offline before an answer; last event of the handle."""

    handle: int


@dataclass(frozen=True, slots=True)
class Data:
    """Stream bytes from the peer, at most 1365; report them to `consumed()` once they are passed on."""

    handle: int
    data: bytes


@dataclass(frozen=True, slots=True)
class HalfClosed:
    """The peer sends no more (end of file); our direction goes on."""

    handle: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Both directions have ended without a fault; last event of the handle.

    `unsent_bytes` of ours were still waiting when a tuntox peer closed; they are lost, as with a
    TCP peer that closes without reading.
    """

    handle: int
    unsent_bytes: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The tunnel broke, bytes may be missing: reset the local socket; last event of the handle."""

    handle: int
    reason: ResetReason


@dataclass(frozen=True, slots=True)
class Writable:
    """`send()` may be used again after it returned False."""

    handle: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to the ping that `ping()` numbered; `version` is the magic of the answer."""

    sequence: int
    rtt_s: float
    version: Version


Event = (
    Opened
    | OpenFailed
    | OpenRequested
    | RequestCancelled
    | Data
    | HalfClosed
    | Closed
    | Reset
    | Writable
    | Pong
)
