"""The language of the control socket, sans-IO: one JSON object per line, a request and then its answer.

    {"do": "ping", "peer": "alice"}
    {"ok": true, "result": {"rtt_ms": 0.4}}     or     {"ok": false, "error": "one line", "exit_code": 5}

In: bytes from the socket. Out: requests with checked arguments, and answers, which may come late. Both
sides use it. The exit code is that of the error in errors.py. Neighbours: server.py, client.py.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import (
    ConfigError,
    NoPermissionError,
    NotRunningError,
    PathError,
    PeerOfflineError,
    PeerRefusedError,
    ToxvpnError,
    UsageError,
)

MAX_REQUEST_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""The longest answer that a client reads: thousands of peers, each with its drop counters."""

_BY_CODE: dict[int, type[ToxvpnError]] = {
    kind.exit_code: kind
    for kind in (
        UsageError,
        NotRunningError,
        PeerRefusedError,
        PeerOfflineError,
        PathError,
        NoPermissionError,
        ConfigError,
    )
}


class BadRequestError(UsageError):
    """The bytes that arrived are not a valid request."""


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A command and its arguments, which are checked as they are read.

    The methods raise BadRequestError when an argument is missing or has the wrong type.
    """

    do: str
    arguments: Mapping[str, object] = field(default_factory=dict)

    def text(self, name: str) -> str:
        value = self.optional_text(name)
        if value is None:
            raise BadRequestError(f"{self.do!r} needs {name!r}")
        return value

    def optional_text(self, name: str) -> str | None:
        value = self.arguments.get(name)
        if value is not None and not isinstance(value, str):
            raise BadRequestError(f"{name!r} of {self.do!r} must be a string, not {value!r}")
        return value

    def texts(self, name: str) -> list[str]:
        values = self.arguments.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise BadRequestError(f"{name!r} of {self.do!r} must be a list of strings, not {values!r}")
        return values

    def optional_number(self, name: str) -> float | None:
        """A number that is not negative."""
        value = self.arguments.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise BadRequestError(f"{name!r} of {self.do!r} must be a number from 0 up, not {value!r}")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self.arguments.get(name, False)
        if not isinstance(value, bool):
            raise BadRequestError(f"{name!r} of {self.do!r} must be true or false, not {value!r}")
        return value


class LineReader:
    """Splits what the socket yields into lines of at most `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes. Raises BadRequestError when one grows too long."""
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer[:] = rest
        if max(map(len, (*lines, rest))) > self._most_bytes:
            self._buffer.clear()
            raise BadRequestError(f"a line is longer than {self._most_bytes} bytes")
        return lines


def encode_request(request: ControlRequest) -> bytes:
    return _encode({"do": request.do, **request.arguments})


def decode_request(line: bytes) -> ControlRequest:
    """Raises BadRequestError."""
    message = _decode(line)
    do = message.pop("do", None)
    if not isinstance(do, str):
        raise BadRequestError('expected a request such as {"do": "status"}')
    return ControlRequest(do, message)


def encode_result(result: object) -> bytes:
    """`result` is anything that JSON can hold."""
    return _encode({"ok": True, "result": result})


def encode_error(error: ToxvpnError) -> bytes:
    return _encode({"ok": False, "error": " ".join(str(error).split()), "exit_code": error.exit_code})


def decode_answer(line: bytes) -> Any:
    """The result. Raises the error that the answer carries, or ToxvpnError when the line is not an answer."""
    try:
        message = _decode(line)
    except BadRequestError as error:
        raise ToxvpnError(f"cannot understand the answer of the running toxvpn: {error}") from None
    if message.get("ok") is True:
        return message.get("result")
    text, code = message.get("error"), message.get("exit_code")
    if not isinstance(text, str) or type(code) is not int:
        raise ToxvpnError("cannot understand the answer of the running toxvpn: it has no result and no error")
    raise error_for(code, text)


def error_for(exit_code: int, text: str) -> ToxvpnError:
    """The error of errors.py that ends a command with this code."""
    return _BY_CODE.get(exit_code, ToxvpnError)(text)


def _encode(message: dict[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _decode(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadRequestError("expected JSON") from None
    if not isinstance(message, dict):
        raise BadRequestError("expected a JSON object")
    return message


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
