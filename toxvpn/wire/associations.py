"""What two toxvpn programs say about UDP associations, on a stream to the built-in target `@udp`: JSON lines.

    -> {"open": 7, "host": "dns.lan", "port": 53, "from": 40001}
    <- {"opened": 7, "at": 41001}
    <- {"ended": 7, "code": 2}            refused, or over for a reason (a ReplyCode)
   <-> {"ended": 7, "code": 0}            idle, or not wanted any more

The side that asks chooses the number. Its datagrams go from its UDP port `from` to the other side's port
`at`, between the private stacks of the two. Sans-IO: lines in, messages out, and the other way round. A peer
may say anything, so every field is checked.
"""

import json
from dataclasses import dataclass
from typing import Any

from .ports import LAST_PORT
from .socks5 import ReplyCode

NAME = "@udp"
VERSION = 1
MAX_LINE_BYTES = 4096
SHOWN_BYTES = 40
LAST_NUMBER = 2**53
"""The largest that every reader of JSON keeps whole."""


class BadAssociationError(Exception):
    """A line that is no message; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Associate:
    """Asks for an association with host:port; the datagrams will come from our UDP port `source`."""

    number: int
    host: str
    port: int
    source: int


@dataclass(frozen=True, slots=True)
class Associated:
    """The datagrams are to go to UDP port `at`."""

    number: int
    at: int


@dataclass(frozen=True, slots=True)
class AssociationEnded:
    """There is no such association, or not any more."""

    number: int
    code: ReplyCode = ReplyCode.SUCCEEDED


Message = Associate | Associated | AssociationEnded


def encode(message: Message) -> bytes:
    match message:
        case Associate(number, host, port, source):
            fields: dict[str, Any] = {"open": number, "host": host, "port": port, "from": source}
        case Associated(number, at):
            fields = {"opened": number, "at": at}
        case AssociationEnded(number, code):
            fields = {"ended": number, "code": int(code)}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Raises BadAssociationError."""
    if len(line) > MAX_LINE_BYTES:
        raise BadAssociationError(f"a line of more than {MAX_LINE_BYTES} bytes")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise BadAssociationError(f"{line[:SHOWN_BYTES]!r} is not JSON") from None
    if not isinstance(fields, dict):
        raise BadAssociationError(f"{line[:SHOWN_BYTES]!r} is not a JSON object")
    if "open" in fields:
        host = fields.get("host")
        if not isinstance(host, str):
            raise BadAssociationError("no host")
        return Associate(
            _number(fields, "open", LAST_NUMBER), host, _port(fields, "port"), _port(fields, "from")
        )
    if "opened" in fields:
        return Associated(_number(fields, "opened", LAST_NUMBER), _port(fields, "at"))
    if "ended" in fields:
        return AssociationEnded(_number(fields, "ended", LAST_NUMBER), _code(fields))
    raise BadAssociationError("a line without a word that is known")


def _number(fields: dict[str, Any], name: str, last: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= last:
        raise BadAssociationError(f"{name!r} is not a number up to {last}")
    return value


def _port(fields: dict[str, Any], name: str) -> int:
    if (port := _number(fields, name, LAST_PORT)) == 0:
        raise BadAssociationError(f"{name!r} is 0")
    return port


def _code(fields: dict[str, Any]) -> ReplyCode:
    code = _number(fields, "code", 255)
    try:
        return ReplyCode(code)
    except ValueError:  # of a later version
        return ReplyCode.GENERAL_FAILURE
