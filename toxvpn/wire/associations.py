"""What two toxvpn programs say about UDP associations, on a stream to the built-in target `@udp`: JSON lines.

    -> {"open": 7, "host": "dns.lan", "port": 53, "from": 40001}
    <- {"opened": 7, "at": 41001}
    <- {"ended": 7, "code": 2}            refused, or over for a reason (a ReplyCode)
   <-> {"ended": 7, "code": 0}            idle, or not wanted any more

The side that asks chooses the number. Its datagrams go from its UDP port `from` to the other side's port
`at`, between the private stacks of the two. Sans-IO: lines (jsonlines.py) in, messages out, and the other
way round. A peer may say anything, so every field is checked.
"""

from dataclasses import dataclass

from .jsonlines import Line, LineFaultError
from .ports import LAST_PORT
from .socks5 import ReplyCode

NAME = "@udp"
VERSION = 1
LAST_NUMBER = 2**53
"""The largest that every reader of JSON keeps whole."""


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


def encode(message: Message) -> Line:
    match message:
        case Associate(number, host, port, source):
            return {"open": number, "host": host, "port": port, "from": source}
        case Associated(number, at):
            return {"opened": number, "at": at}
        case AssociationEnded(number, code):
            return {"ended": number, "code": int(code)}


def decode(line: Line) -> Message:
    """Raises LineFaultError."""
    if "open" in line:
        host = line.get("host")
        if not isinstance(host, str):
            raise LineFaultError(f"{host!r} is not a host")
        ports = _port(line, "port"), _port(line, "from")
        return Associate(_number(line, "open", LAST_NUMBER), host, *ports)
    if "opened" in line:
        return Associated(_number(line, "opened", LAST_NUMBER), _port(line, "at"))
    if "ended" in line:
        return AssociationEnded(_number(line, "ended", LAST_NUMBER), _code(line))
    raise LineFaultError("a line without a word that is known")


def _number(line: Line, name: str, last: int) -> int:
    value = line.get(name)
    if type(value) is not int or not 0 <= value <= last:
        raise LineFaultError(f"{name!r} is not a number up to {last}")
    return value


def _port(line: Line, name: str) -> int:
    if (port := _number(line, name, LAST_PORT)) == 0:
        raise LineFaultError(f"{name!r} is 0")
    return port


def _code(line: Line) -> ReplyCode:
    code = _number(line, "code", 255)
    try:
        return ReplyCode(code)
    except ValueError:  # of a later version
        return ReplyCode.GENERAL_FAILURE
