"""What travels over the control socket, sans-IO: one JSON object a line, a request and then its answer.

    {"do": "ping", "peer": "alice"}
    {"ok": true, "result": {"rtt_ms": 0.4}}     or     {"ok": false, "error": "one line", "exit_code": 5}

In: bytes from the socket. Out: requests with checked arguments, and answers. Both sides use it; whoever
answers may take its time. The exit code is that of errors.py. Neighbours: server.py, client.py.
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
"""What a client reads at most: thousands of peers, each with its reasons for drops."""

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
    """What came is no request."""


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """What is asked for, and the arguments, which were not checked yet: the methods do that.

    They raise BadRequestError when an argument has another type, or is missing.
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
            raise BadRequestError(f"{name!r} of {self.do!r} is no text")
        return value

    def texts(self, name: str) -> list[str]:
        values = self.arguments.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise BadRequestError(f"{name!r} of {self.do!r} is no list of texts")
        return values

    def optional_number(self, name: str) -> float | None:
        """Not negative."""
        value = self.arguments.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise BadRequestError(f"{name!r} of {self.do!r} is no number from 0 up")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self.arguments.get(name, False)
        if not isinstance(value, bool):
            raise BadRequestError(f"{name!r} of {self.do!r} is neither true nor false")
        return value


class LineReader:
    """Cuts what the socket yields into lines, of which none is longer than `most_bytes`."""

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
        raise BadRequestError('a request is a JSON object such as {"do": "status"}')
    return ControlRequest(do, message)


def encode_result(result: object) -> bytes:
    """`result` is anything that JSON can hold."""
    return _encode({"ok": True, "result": result})


def encode_error(error: ToxvpnError) -> bytes:
    return _encode({"ok": False, "error": " ".join(str(error).split()), "exit_code": error.exit_code})


def decode_answer(line: bytes) -> Any:
    """The result. Raises the error that the other side had, or ToxvpnError when this is no answer."""
    try:
        message = _decode(line)
    except BadRequestError as error:
        raise ToxvpnError(f"the running toxvpn answered nonsense: {error}") from None
    if message.get("ok") is True:
        return message.get("result")
    text, code = message.get("error"), message.get("exit_code")
    if not isinstance(text, str) or type(code) is not int:
        raise ToxvpnError("the running toxvpn answered nonsense: neither a result nor an error")
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
        raise BadRequestError("what came is no JSON") from None
    if not isinstance(message, dict):
        raise BadRequestError("what came is no JSON object")
    return message


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
