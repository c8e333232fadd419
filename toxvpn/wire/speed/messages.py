"""The messages of a speed test: one JSON object a line, as in {"want":{"seconds":5.0}}.

Each stream to @speed begins with a line of the client's that says what it is for. One is the control stream:

    client                              server
    {"want":{"seconds":5.0}}            {"begun":{"test":"6a0f…","seconds":5.0}}
                                        or {"refused":{"why":"busy"}}, and its end
    {"ask":{"number":1}}                {"answer":{"number":1}}, for as long as the test lasts
                                        {"received":{"total_bytes":…,"at_s":…}} while it gets bytes
                                        {"sent":{"segments":…,"resent":…}} when it has sent its own

The test ends with it. Beside it the client opens one stream for each direction, with a line

    {"load":{"direction":"down","test":"6a0f…"}}

Then come bytes: for `down` from the server, which ends the stream after `seconds`, for `up` from the client.
What they are does not matter.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from ..jsonlines import MAX_LINE_BYTES, LineFaultError, decode_line, encode_line

NAME: Final = "@speed"
VERSION: Final = 1
MOST_NUMBER = (1 << 63) - 1
MOST_TEXT = 64
MOST_S = 60.0
"""The longest that a server sends, or receives, in one direction."""
LEAST_S = 1.0

DOWN: Final = "down"
UP: Final = "up"
DIRECTIONS = (DOWN, UP)
"""As the client sees them."""

BUSY: Final = "busy"
"""The peer has a test that runs."""
FULL: Final = "full"
"""Others have all the tests that may run at once."""


@dataclass(frozen=True, slots=True)
class Want:
    """`seconds` in each direction; the server may make it less."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Begun:
    test: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Refused:
    why: str


@dataclass(frozen=True, slots=True)
class Load:
    direction: str
    test: str


@dataclass(frozen=True, slots=True)
class Ask:
    number: int


@dataclass(frozen=True, slots=True)
class Answer:
    number: int


@dataclass(frozen=True, slots=True)
class Received:
    """`at_s` counts from the first byte, on the server's clock."""

    total_bytes: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Sent:
    """TCP segments with data on the fast road, and how many of them were sent again; null: not known."""

    segments: int | None
    resent: int | None


Message = Want | Begun | Refused | Load | Ask | Answer | Received | Sent

KINDS: dict[str, type[Message]] = {
    kind.__name__.lower(): kind for kind in (Want, Begun, Refused, Load, Ask, Answer, Received, Sent)
}


def encode(message: Message) -> bytes:
    """The line, with its end."""
    name = type(message).__name__.lower()
    return encode_line({name: asdict(message)})


def decode_untrusted(line: bytes) -> Message:
    """Keys that are not known are ignored. Raises LineFaultError."""
    value = decode_line(line)
    if len(value) != 1:
        raise LineFaultError("not an object with one key")
    ((name, holds),) = value.items()
    kind = KINDS.get(name)
    if kind is None or not isinstance(holds, dict):
        raise LineFaultError("not a message of this protocol")
    try:
        return kind(**{each.name: READERS[each.name](holds.get(each.name)) for each in fields(kind)})
    except ValueError as failure:
        raise LineFaultError(f"{name}: {failure}") from None


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_NUMBER:
        raise ValueError(f"{value!r:.40} is out of range")
    return value


def _number_or_none(value: Any) -> int | None:
    return None if value is None else _number(value)


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1e6:  # so NaN is none
        raise ValueError(f"{value!r:.40} is out of range")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MOST_TEXT or not value.isascii() or not value.isprintable():
        raise ValueError(f"{value!r:.40} is not plain and short")
    return value


def _direction(value: Any) -> str:
    if value not in DIRECTIONS:
        raise ValueError(f"{value!r:.40} is not a direction")
    return str(value)


READERS: dict[str, Callable[[Any], Any]] = {
    "seconds": _seconds,
    "at_s": _seconds,
    "test": _text,
    "why": _text,
    "direction": _direction,
    "number": _number,
    "total_bytes": _number,
    "segments": _number_or_none,
    "resent": _number_or_none,
}
"""By the names of the fields."""


class Lines:
    """Bytes as they come in, messages out; of a stream for load only the first line is a message."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        self._held += data

    def next(self) -> Message | None:
        """None: the line is not complete yet. Raises LineFaultError."""
        end = self._held.find(b"\n", 0, MAX_LINE_BYTES)
        if end < 0:
            if len(self._held) >= MAX_LINE_BYTES:
                raise LineFaultError("a line is too long")
            return None
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return decode_untrusted(line)

    def rest(self) -> bytes:
        """What has come after the last line; it is taken out."""
        rest = bytes(self._held)
        self._held.clear()
        return rest
