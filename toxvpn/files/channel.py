"""One end of the stream: lines and chunks over a connected stream socket, in blocking code with time limits.

The other side is not trusted: a line has a bound, and whoever says nothing for STALL_S, or takes nothing, is
given up.
"""

import contextlib
import select
import socket
import time

from ..wire.filetransfer import LENGTH_BYTES, MOST_LINE_BYTES, ProtocolError, decode_length, encode_length

STALL_S = 120.0
BUSY_S = 3.0
"""Who computes for longer says so this often."""
LEAVE_S = 10.0
RECEIVE_BYTES = 64 * 1024


class Channel:
    """Owns the socket. All methods raise OSError (TimeoutError is one), EOFError and ProtocolError."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(STALL_S)
        self._socket = sock
        self._buffer = bytearray()
        self.heard_s = time.monotonic()
        """When something came the last time."""

    def send(self, *parts: bytes | memoryview) -> None:
        rest = [memoryview(part) for part in parts if len(part)]
        while rest:
            sent = self._socket.sendmsg(rest)
            while rest and sent >= len(rest[0]):
                sent -= len(rest.pop(0))
            if sent:
                rest[0] = rest[0][sent:]

    def send_chunk(self, data: bytes | memoryview) -> None:
        self.send(encode_length(len(data)), data)

    def receive_line(self) -> bytes:
        """Without its end."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) >= MOST_LINE_BYTES:
                raise ProtocolError(f"a line has more than {MOST_LINE_BYTES} bytes")
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise EOFError("the other side has ended the connection")
            self._heard(data)
        if end >= MOST_LINE_BYTES:
            raise ProtocolError(f"a line has more than {MOST_LINE_BYTES} bytes")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def receive_length(self) -> int:
        """The length of the chunk that follows; 0: there is none."""
        header = bytearray(LENGTH_BYTES)
        self.receive_into(memoryview(header))
        return decode_length(bytes(header))

    def receive_into(self, view: memoryview) -> None:
        """Fills all of `view`."""
        taken = min(len(view), len(self._buffer))
        view[:taken] = self._buffer[:taken]
        del self._buffer[:taken]
        while taken < len(view):
            count = self._socket.recv_into(view[taken:])
            if not count:
                raise EOFError("the other side has ended the connection")
            self.heard_s = time.monotonic()
            taken += count

    def has_line(self) -> bool:
        """Whether a line has come; reads what is there, and does not wait."""
        if b"\n" not in self._buffer and select.select([self._socket], [], [], 0)[0]:
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise EOFError("the other side has ended the connection")
            self._heard(data)
        return b"\n" in self._buffer

    def finish(self) -> None:
        """Sends nothing more, and waits until the other side has closed: what was sent has arrived."""
        self._socket.shutdown(socket.SHUT_WR)
        self._socket.settimeout(LEAVE_S)
        until_s = time.monotonic() + LEAVE_S
        while self._socket.recv(RECEIVE_BYTES) and time.monotonic() < until_s:
            pass

    def shut(self) -> None:
        """Ends it at once; a thread that uses it gets an EOFError."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()

    def _heard(self, data: bytes) -> None:
        self._buffer += data
        self.heard_s = time.monotonic()
