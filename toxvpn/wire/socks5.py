"""SOCKS5 as RFC 1928 has it, as far as we use it: CONNECT without authentication, both ends, sans-IO.

Server (`-D` listener, and the serving side's listener on its private stack):

    bytes in -> `Socks5Server.receive` -> bytes to send, and once: ConnectRequest | BadRequest
    then `encode_reply` answers it

Client (calling side): `encode_connect` is greeting and request in one flight, so that opening a
stream costs no round trip more than the connection itself; then

    bytes in -> `Socks5Client.receive` -> once: Connected | ConnectRefused | BadReply

Whatever follows the request or the reply belongs to the stream and is handed on as `rest`.

By hand, since no library fits: `socksio` (1.0.0, of 2020) has the client's half only and wants
each message in one piece; `siosocks` (0.3.0, of 2022) answers every failure with code 1, gives the
code of a refusal as text only, and waits a round trip between greeting and request.
"""

import ipaddress
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from ..errors import LocalProtocolError

VERSION = 5
_NO_AUTHENTICATION = 0
_NO_ACCEPTABLE_METHOD = 0xFF
_CONNECT = 1
_IPV4, _DOMAIN, _IPV6 = 1, 3, 4
_ADDRESS_TYPES = {_IPV4: 4, _IPV6: 16, _DOMAIN: None}  # size in bytes; a domain brings its own
MAX_DOMAIN_BYTES = 255
GREETING = bytes((VERSION, 1, _NO_AUTHENTICATION))


class ReplyCode(IntEnum):
    """RFC 1928 §6; also the reason in a DENYTUNNEL (docs/wire-format.md §3)."""

    SUCCEEDED = 0
    GENERAL_FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TIMED_OUT = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8

    @property
    def words(self) -> str:
        return self.name.lower().replace("_", " ")


class Fault(StrEnum):
    """A fault in the bytes of the other end."""

    NOT_SOCKS5 = "not SOCKS5"
    AUTHENTICATION_REQUIRED = "no authentication method in common"
    COMMAND_NOT_SUPPORTED = "only CONNECT is supported"
    ADDRESS_TYPE_NOT_SUPPORTED = "unknown address type"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """`host` is a name or an address, as asked for; `rest` are stream bytes that came along."""

    host: str
    port: int
    rest: bytes


@dataclass(frozen=True, slots=True)
class BadRequest:
    """Send what `receive` returned with it, then close."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Connected:
    """`rest` are stream bytes that came along."""

    rest: bytes


@dataclass(frozen=True, slots=True)
class ConnectRefused:
    code: ReplyCode


@dataclass(frozen=True, slots=True)
class BadReply:
    fault: Fault


class _FaultFoundError(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


class Socks5Server:
    """The server's half of one handshake; buffers at most one message."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._greeted = False
        self._done = False

    def receive(self, data_untrusted: bytes) -> tuple[bytes, ConnectRequest | BadRequest | None]:
        """Bytes to send now, and the event that ends the handshake (None: more bytes are needed).

        Raises LocalProtocolError when called after that event.
        """
        if self._done:
            raise LocalProtocolError("the SOCKS5 request is already complete")
        self._buffer += data_untrusted
        answer = bytearray()
        event: ConnectRequest | BadRequest | None = None
        try:
            self._greeted = self._greeted or self._greeting(answer)
            if self._greeted:
                event = self._request(answer)
        except _FaultFoundError as found:
            event = BadRequest(found.fault)
        self._done = event is not None
        return bytes(answer), event

    def _greeting(self, answer: bytearray) -> bool:
        """RFC 1928 §3: version, number of methods, methods."""
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            raise _FaultFoundError(Fault.NOT_SOCKS5)
        if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
            return False
        methods = buffer[2 : 2 + buffer[1]]
        if _NO_AUTHENTICATION not in methods:
            answer += bytes((VERSION, _NO_ACCEPTABLE_METHOD))
            raise _FaultFoundError(Fault.AUTHENTICATION_REQUIRED)
        del buffer[: 2 + len(methods)]
        answer += bytes((VERSION, _NO_AUTHENTICATION))
        return True

    def _request(self, answer: bytearray) -> ConnectRequest | None:
        """RFC 1928 §4: version, command, 0, address type, address, port."""
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            answer += encode_reply(ReplyCode.GENERAL_FAILURE)
            raise _FaultFoundError(Fault.MALFORMED)
        if len(buffer) > 1 and buffer[1] != _CONNECT:
            answer += encode_reply(ReplyCode.COMMAND_NOT_SUPPORTED)
            raise _FaultFoundError(Fault.COMMAND_NOT_SUPPORTED)
        if len(buffer) > 3 and buffer[3] not in _ADDRESS_TYPES:
            answer += encode_reply(ReplyCode.ADDRESS_TYPE_NOT_SUPPORTED)
            raise _FaultFoundError(Fault.ADDRESS_TYPE_NOT_SUPPORTED)
        end = _message_bytes(buffer)
        if end is None or len(buffer) < end:
            return None
        try:
            host = _decode_host(buffer[3], bytes(buffer[4 : end - 2]))
        except UnicodeDecodeError:
            answer += encode_reply(ReplyCode.GENERAL_FAILURE)
            raise _FaultFoundError(Fault.MALFORMED) from None
        return ConnectRequest(host, int.from_bytes(buffer[end - 2 : end], "big"), bytes(buffer[end:]))


class Socks5Client:
    """The client's half of one handshake, whose bytes `encode_connect` made."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._accepted = False
        self._done = False

    def receive(self, data_untrusted: bytes) -> Connected | ConnectRefused | BadReply | None:
        """The event that ends the handshake (None: more bytes are needed).

        Raises LocalProtocolError when called after that event.
        """
        if self._done:
            raise LocalProtocolError("the SOCKS5 reply is already complete")
        self._buffer += data_untrusted
        event: Connected | ConnectRefused | BadReply | None = None
        try:
            self._accepted = self._accepted or self._method()
            if self._accepted:
                event = self._reply()
        except _FaultFoundError as found:
            event = BadReply(found.fault)
        self._done = event is not None
        return event

    def _method(self) -> bool:
        """RFC 1928 §3: version, method."""
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            raise _FaultFoundError(Fault.NOT_SOCKS5)
        if len(buffer) < 2:
            return False
        if buffer[1] != _NO_AUTHENTICATION:
            raise _FaultFoundError(Fault.AUTHENTICATION_REQUIRED)
        del buffer[:2]
        return True

    def _reply(self) -> Connected | ConnectRefused | None:
        """RFC 1928 §6: version, code, 0, address type, address, port; a refusal is known by its code."""
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            raise _FaultFoundError(Fault.MALFORMED)
        if len(buffer) > 1 and buffer[1] != ReplyCode.SUCCEEDED:
            return ConnectRefused(_reply_code(buffer[1]))
        if len(buffer) > 3 and buffer[3] not in _ADDRESS_TYPES:
            raise _FaultFoundError(Fault.ADDRESS_TYPE_NOT_SUPPORTED)
        end = _message_bytes(buffer)
        if end is None or len(buffer) < end:
            return None
        return Connected(bytes(buffer[end:]))


def encode_connect(host: str, port: int) -> bytes:
    """Greeting and CONNECT request in one. Raises ValueError for a name that is not 1 to 255 bytes long."""
    return GREETING + bytes((VERSION, _CONNECT, 0)) + _encode_host(host) + port.to_bytes(2, "big")


def encode_reply(code: ReplyCode) -> bytes:
    """10 bytes; the bound address is given as 0.0.0.0:0, which clients of CONNECT have no use for."""
    return bytes((VERSION, code, 0, _IPV4)) + bytes(6)


def encode_refusal(code: ReplyCode) -> bytes:
    """Both answers in one, for a client that is refused before its request is read."""
    return bytes((VERSION, _NO_AUTHENTICATION)) + encode_reply(code)


def _message_bytes(buffer: bytearray) -> int | None:
    """The length of a request or reply, once enough of it has come to tell."""
    if len(buffer) < 5:
        return None
    return 4 + (_ADDRESS_TYPES[buffer[3]] or 1 + buffer[4]) + 2


def _decode_host(address_type: int, address: bytes) -> str:
    """Raises UnicodeDecodeError."""
    if address_type == _DOMAIN:
        return address[1:].decode()
    return str(ipaddress.ip_address(address))


def _encode_host(host: str) -> bytes:
    """Address type and address; an IPv6 address with a zone has no form of its own, so it goes as a name."""
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        packed = b""
    if not packed or "%" in host:
        name = host.encode()
        if not 0 < len(name) <= MAX_DOMAIN_BYTES:
            raise ValueError(f"a host name of {len(name)} bytes does not fit SOCKS5 (1..{MAX_DOMAIN_BYTES})")
        return bytes((_DOMAIN, len(name))) + name
    return bytes((_IPV4 if len(packed) == 4 else _IPV6,)) + packed


def _reply_code(code: int) -> ReplyCode:
    try:
        return ReplyCode(code)
    except ValueError:
        return ReplyCode.GENERAL_FAILURE
