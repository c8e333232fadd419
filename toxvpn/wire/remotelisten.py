"""The messages of `@listen`, by which a client asks the server to listen for it (docs/wire-format.md).

One stream is one listener, and its end is the listener's. The client sends a ListenRequest, the server
answers with ListenGrant or ListenRefused; then both only make sure of each other:

    {"listen":["127.0.0.1","::1"],"port":8080,"protocol":"tcp","to":"<32 hex digits>"}
    {"listening":["127.0.0.1","::1"],"port":8080}
    {"listen":"/run/app.sock","to":"<32 hex digits>"}  {"listening":"/run/app.sock"}
    {"refused":"in-use"}
    {"ping":true}  {"pong":true}

Port 0: the server chooses. A text in place of addresses is the path of a Unix socket. For each connection the
server opens a stream to the client's built-in target that `to` names (`passage`). Other messages are ignored:
later versions may have more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from .jsonlines import Line, LineFaultError
from .ports import LAST_PORT

NAME = "@listen"
VERSION = 1
MAX_ADDRESSES = 2
"""For one listener: both wildcards, or both addresses of loopback."""
MAX_PATH_CHARACTERS = 107  # unix(7): sun_path has 108 bytes, the last is NUL
_TOKEN = re.compile(r"[0-9a-f]{32}")

IPAddress = IPv4Address | IPv6Address


class ListenProtocol(StrEnum):
    """What is listened for."""

    TCP = "tcp"
    UDP = "udp"


class ListenRefusal(StrEnum):
    """Why the server does not listen."""

    NOT_ALLOWED = "not-allowed"
    IN_USE = "in-use"
    NO_ADDRESS = "no-address"  # it is not one of the server's
    NO_PRIVILEGE = "no-privilege"  # a port below 1024
    TOO_MANY = "too-many"  # listeners of this client
    NO_FAST_ROAD = "no-fast-road"  # which UDP needs


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """`to` is 32 hex digits. With a `path` there are no addresses, and the port is 0."""

    addresses: tuple[IPAddress, ...]
    port: int
    to: str
    protocol: ListenProtocol = ListenProtocol.TCP
    path: str | None = None


@dataclass(frozen=True, slots=True)
class ListenGrant:
    addresses: tuple[IPAddress, ...]
    port: int
    path: str | None = None


@dataclass(frozen=True, slots=True)
class ListenRefused:
    """`code` is one of ListenRefusal, or what a later version says."""

    code: str


@dataclass(frozen=True, slots=True)
class ListenPing:
    pass


@dataclass(frozen=True, slots=True)
class ListenPong:
    pass


Message = ListenRequest | ListenGrant | ListenRefused | ListenPing | ListenPong


def passage(token: str) -> str:
    """The client's built-in target for one listener."""
    return f"@remote-{token}"


def encode(message: Message) -> Line:
    match message:
        case ListenRequest(path=str(path), to=to):
            return {"listen": path, "to": to}
        case ListenGrant(path=str(path)):
            return {"listening": path}
        case ListenRequest(addresses, port, to, protocol):
            return {"listen": _texts(addresses), "port": port, "protocol": protocol, "to": to}
        case ListenGrant(addresses, port):
            return {"listening": _texts(addresses), "port": port}
        case ListenRefused(code):
            return {"refused": code}
        case ListenPing():
            return {"ping": True}
        case ListenPong():
            return {"pong": True}


def decode(line_untrusted: Mapping[str, Any]) -> Message | None:
    """None for a message of a later version. Raises LineFaultError."""
    line = line_untrusted
    try:
        if isinstance(line.get("listen"), str):
            return ListenRequest((), 0, _token(line["to"]), path=_path(line["listen"]))
        if isinstance(line.get("listening"), str):
            return ListenGrant((), 0, _path(line["listening"]))
        if "listen" in line:
            return ListenRequest(
                _addresses(line["listen"]),
                _port(line["port"], least=0),
                _token(line["to"]),
                ListenProtocol(line.get("protocol", ListenProtocol.TCP)),
            )
        if "listening" in line:
            return ListenGrant(_addresses(line["listening"]), _port(line["port"], least=1))
        if "refused" in line:
            return ListenRefused(_text(line["refused"]))
    except (KeyError, ValueError):
        raise LineFaultError("a message with a bad value") from None
    if "ping" in line:
        return ListenPing()
    return ListenPong() if "pong" in line else None


def _texts(addresses: tuple[IPAddress, ...]) -> list[str]:
    return [str(address) for address in addresses]


def _addresses(value: Any) -> tuple[IPAddress, ...]:
    """Raises ValueError."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ADDRESSES:
        raise ValueError
    return tuple(_address(each) for each in value)


def _address(value: Any) -> IPAddress:
    """Raises ValueError."""
    found = ip_address(_text(value))
    if isinstance(found, IPv6Address) and (found.scope_id or found.ipv4_mapped):
        raise ValueError
    return found


def _port(value: Any, least: int) -> int:
    """Raises ValueError."""
    if type(value) is not int or not least <= value <= LAST_PORT:
        raise ValueError
    return value


def _token(value: Any) -> str:
    """Raises ValueError."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError
    return value


def _path(text: str) -> str:
    """Raises ValueError."""
    if not text.startswith("/") or len(text) > MAX_PATH_CHARACTERS or not text.isprintable():
        raise ValueError
    return text


def _text(value: Any) -> str:
    """Raises ValueError."""
    if not isinstance(value, str) or not 0 < len(value) <= 64 or not value.isprintable():
        raise ValueError
    return value
