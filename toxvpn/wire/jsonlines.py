"""JSON objects, one a line, as built-in targets exchange them. Sans-IO: bytes in, objects out, and back."""

import json
from typing import Any

MAX_LINE_BYTES = 4096
"""With the newline."""

Line = dict[str, Any]


class LineFaultError(Exception):
    """What came is not what the protocol says: the stream is of no use any more. `str()` is the reason."""


class JsonLines:
    """One direction of a stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data_untrusted: bytes) -> list[Line]:
        """The objects that are complete now. Raises LineFaultError."""
        self._buffer += data_untrusted
        *lines, rest = self._buffer.split(b"\n")
        if max(map(len, (*lines, rest))) >= MAX_LINE_BYTES:
            raise LineFaultError(f"a line of more than {MAX_LINE_BYTES} bytes")
        self._buffer = bytearray(rest)
        return [decode_line(bytes(line)) for line in lines]


def encode_line(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def decode_line(line: bytes) -> Line:
    """Without its newline. Raises LineFaultError."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise LineFaultError("a line that is not a JSON object")
    return found
