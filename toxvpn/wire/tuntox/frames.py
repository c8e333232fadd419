"""tuntox frames, v1 and v2: lossless custom packets enter as bytes and leave as frames, and back.

Source: docs/wire-format.md §1 and §3. All integers are big-endian; a packet is at most 1373 bytes.

| offset | size | field                                                        |
|--------|------|--------------------------------------------------------------|
| 0      | 2    | magic: 0xa26a = v1, 0xa26b = v2; 0xa2 is also the packet ID  |
| 2      | 2    | type                                                         |
| 4      | 2    | connid: the tunnel ID, or the port of a request              |
| 6      | 2    | payload length, at most 1365                                 |
| 8      | ...  | payload                                                      |

How frames follow on each other is `friend.py`; here nothing is remembered.
"""

import enum
import struct
from typing import NamedTuple

from ..socks5 import ReplyCode

PACKET_ID = 0xA2  # lossless
MAX_PACKET_BYTES = 1373
HEADER_BYTES = 8
MAX_PAYLOAD_BYTES = MAX_PACKET_BYTES - HEADER_BYTES
MAX_HOST_BYTES = 255
MAX_TUNNEL_ID = 0xFFFF
_MAX_TEXT_BYTES = 200  # a reason for a person; longer ones are cut

_HEADER = struct.Struct(">HHHH")
_U32 = struct.Struct(">I")
_DENIAL = struct.Struct(">IB")


class Version(enum.IntEnum):
    """The two incompatible versions; the value is the magic."""

    V1 = 0xA26A
    V2 = 0xA26B


class FrameType(enum.IntEnum):
    PONG = 0x0100
    PING = 0x0108
    TCP = 0x0600
    TCP_FIN = 0x0601
    REQUESTTUNNEL = 0x0602
    TCP_HALF_CLOSE = 0x0603  # only between two toxvpn peers
    DENYTUNNEL = 0x0604
    TCP_CREDIT = 0x0605  # only between two toxvpn peers
    ACKTUNNEL = 0x0610


class FrameDrop(enum.Enum):
    """The reason why a packet, or what it asked for, was dropped; there is a counter for each."""

    # the packet itself
    TOO_SHORT = "shorter than a header"
    TOO_LONG = "longer than a Tox packet can be"
    UNKNOWN_MAGIC = "unknown magic"
    UNKNOWN_TYPE = "unknown type"
    LENGTH_MISMATCH = "length field does not match the packet"
    BAD_PAYLOAD = "payload does not fit the type"
    BAD_HOST = "invalid host name"
    # its place in the conversation
    UNKNOWN_TUNNEL = "unknown tunnel ID"
    UNEXPECTED_ANSWER = "answer to no open request"
    DUPLICATE_TUNNEL = "tunnel ID already in use"
    UNKNOWN_PONG = "answer to no ping"
    DATA_AFTER_END = "data after the end of the stream"
    CREDIT_EXCEEDED = "more data than was granted"
    TOO_MANY_TUNNELS = "too many tunnels"
    BUFFER_FULL = "local side too slow for a peer without flow control"
    FLOOD = "too many unanswered packets"
    OFFLINE = "friend not connected"


class Frame(NamedTuple):
    version: Version
    type: FrameType
    connid: int
    payload: bytes


class RequestPayload(NamedTuple):
    forward_id: int | None  # None in v1, which has none
    host: str
    port: int


class Denial(NamedTuple):
    forward_id: int
    reason: ReplyCode
    text: str  # printable, may be empty


_VERSIONS = {int(version): version for version in Version}
_TYPES = {int(frame_type): frame_type for frame_type in FrameType}
_REASONS = {int(code): code for code in ReplyCode if code is not ReplyCode.SUCCEEDED}


def decode(packet: bytes) -> Frame | FrameDrop:
    """The frame in a lossless packet (any bytes, its packet ID included), or the reason why it has none."""
    if len(packet) < HEADER_BYTES:
        return FrameDrop.TOO_SHORT
    if len(packet) > MAX_PACKET_BYTES:
        return FrameDrop.TOO_LONG
    magic, type_number, connid, length = _HEADER.unpack_from(packet)
    version = _VERSIONS.get(magic)
    if version is None:
        return FrameDrop.UNKNOWN_MAGIC
    frame_type = _TYPES.get(type_number)
    if frame_type is None:
        return FrameDrop.UNKNOWN_TYPE
    if length != len(packet) - HEADER_BYTES:
        return FrameDrop.LENGTH_MISMATCH
    return Frame(version, frame_type, connid, bytes(packet[HEADER_BYTES:]))


def read_request(frame: Frame) -> RequestPayload | FrameDrop:
    """The payload of a REQUESTTUNNEL."""
    forward_id, host = None, frame.payload
    if frame.version is Version.V2:
        if len(host) < _U32.size:
            return FrameDrop.BAD_PAYLOAD
        (forward_id,) = _U32.unpack_from(host)
        host = host[_U32.size :]
    if not is_valid_host(host):
        return FrameDrop.BAD_HOST
    return RequestPayload(forward_id, host.decode("ascii"), frame.connid)


def read_ack(frame: Frame) -> int | FrameDrop | None:
    """The forward ID in an ACKTUNNEL; None in v1, which has none."""
    return None if frame.version is Version.V1 else _read_u32(frame)


def read_denial(frame: Frame) -> Denial | FrameDrop:
    """The payload of a DENYTUNNEL; control characters are taken out of its text."""
    if len(frame.payload) < _DENIAL.size:
        return FrameDrop.BAD_PAYLOAD
    forward_id, code = _DENIAL.unpack_from(frame.payload)
    text = frame.payload[_DENIAL.size :][:_MAX_TEXT_BYTES].decode("utf-8", "replace")
    printable = "".join(character for character in text if character.isprintable())
    return Denial(forward_id, _REASONS.get(code, ReplyCode.GENERAL_FAILURE), printable)


def read_credit(frame: Frame) -> int | FrameDrop:
    """The bytes granted by a TCP_CREDIT."""
    return _read_u32(frame)


def is_valid_host(host: bytes) -> bool:
    """Whether a request can carry this host: 1 to 255 visible ASCII bytes (names in IDNA form, addresses)."""
    return 0 < len(host) <= MAX_HOST_BYTES and all(0x21 <= byte <= 0x7E for byte in host)


def encode_host(host: str) -> bytes | None:
    """`host` as a request carries it (non-ASCII names in IDNA form); None if none can."""
    try:
        encoded = host.encode("ascii" if host.isascii() else "idna")
    except UnicodeError:
        return None
    return encoded if is_valid_host(encoded) else None


def ping(version: Version, payload: bytes) -> bytes:
    return _encode(version, FrameType.PING, 0, payload)


def pong(version: Version, payload: bytes) -> bytes:
    """The answer to a PING: its payload unchanged."""
    return _encode(version, FrameType.PONG, 0, payload)


def request(version: Version, forward_id: int, host: bytes, port: int) -> bytes:
    """Asks for a tunnel to `host` (see `is_valid_host`) and `port`; v1 leaves the forward ID out."""
    prefix = _U32.pack(forward_id) if version is Version.V2 else b""
    return _encode(version, FrameType.REQUESTTUNNEL, port, prefix + host)


def ack(version: Version, tunnel_id: int, forward_id: int | None) -> bytes:
    """Grants a tunnel; v2 repeats the request's forward ID."""
    payload = _U32.pack(forward_id or 0) if version is Version.V2 else b""
    return _encode(version, FrameType.ACKTUNNEL, tunnel_id, payload)


def deny(version: Version, forward_id: int | None, port: int, reason: ReplyCode, text: str) -> bytes:
    """Refuses a tunnel to a toxvpn peer; `text` is cut to 200 bytes of UTF-8."""
    cut = text.encode("utf-8", "replace")[:_MAX_TEXT_BYTES].decode("utf-8", "ignore").encode()
    return _encode(version, FrameType.DENYTUNNEL, port, _DENIAL.pack(forward_id or 0, reason) + cut)


def data(version: Version, tunnel_id: int, payload: bytes | bytearray) -> bytes:
    """At most 1365 stream bytes."""
    return _encode(version, FrameType.TCP, tunnel_id, payload)


def fin(version: Version, tunnel_id: int) -> bytes:
    return _encode(version, FrameType.TCP_FIN, tunnel_id, b"")


def half_close(version: Version, tunnel_id: int) -> bytes:
    return _encode(version, FrameType.TCP_HALF_CLOSE, tunnel_id, b"")


def credit(version: Version, tunnel_id: int, granted_bytes: int) -> bytes:
    return _encode(version, FrameType.TCP_CREDIT, tunnel_id, _U32.pack(granted_bytes))


def _encode(version: Version, frame_type: FrameType, connid: int, payload: bytes | bytearray) -> bytes:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a frame holds {MAX_PAYLOAD_BYTES} bytes, not {len(payload)}")
    return _HEADER.pack(version, frame_type, connid, len(payload)) + payload


def _read_u32(frame: Frame) -> int | FrameDrop:
    if len(frame.payload) != _U32.size:
        return FrameDrop.BAD_PAYLOAD
    value: int = _U32.unpack(frame.payload)[0]
    return value
