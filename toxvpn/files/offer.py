"""A large file that is offered: what the receiver has of it already, and the bytes that it lacks."""

import contextlib
import os
from collections.abc import Callable
from hashlib import blake2b

from ..wire import filetransfer
from ..wire.filetransfer import (
    Busy,
    Changed,
    Check,
    Digest,
    Failed,
    File,
    FileOutcome,
    FromReceiver,
    FromSender,
    Have,
    Kept,
    ProtocolError,
    SendFrom,
)
from .channel import Channel
from .digesting import ReadError, digest_file, new_digest, read_ahead

MOST_CHECKS = 2
"""A receiver may have the whole file, or else the beginning of it."""


class FileOffer:
    """Made when the file's message has been sent. `on_moved` gets the number of bytes that are there.

    Raises OSError, EOFError and ProtocolError when the stream breaks.
    """

    def __init__(
        self, channel: Channel, file: File, descriptor: int, on_moved: Callable[[int], None]
    ) -> None:
        self._channel = channel
        self._file = file
        self._descriptor = descriptor
        self._on_moved = on_moved
        self._found = os.fstat(descriptor)

    def carry_out(self) -> FileOutcome:
        """Answers the receiver's questions, sends what it wants, and returns how it ended."""
        checked_bytes, digest, checks = 0, new_digest(), 0
        while True:
            match message := self._receive():
                case Check(first_bytes) if first_bytes <= self._file.size_bytes and checks < MOST_CHECKS:
                    checks += 1
                    checked_bytes, digest = first_bytes, self._digest(first_bytes)
                    self._send(Digest(digest.digest()))
                case SendFrom(offset_bytes) if offset_bytes in (0, checked_bytes):
                    return self._send_bytes(offset_bytes, digest if offset_bytes else new_digest())
                case Have() | Failed():
                    return message
                case Busy():
                    pass
                case _:
                    raise ProtocolError(f"{message} cannot come now")

    def _digest(self, first_bytes: int) -> "blake2b":
        """Of what can be read of them: an error comes again when they are to be sent."""
        digest = new_digest()
        with contextlib.suppress(ReadError):
            digest_file(self._descriptor, first_bytes, digest, lambda: self._send(Busy()))
        return digest

    def _send_bytes(self, offset_bytes: int, digest: "blake2b") -> FileOutcome:
        """Raises ReadError; the receiver has then been told, and has answered."""
        self._on_moved(offset_bytes)
        failure = None
        try:
            for piece in read_ahead(self._descriptor, offset_bytes, self._file.size_bytes, digest):
                self._channel.send_chunk(piece)
                offset_bytes += len(piece)
                self._on_moved(offset_bytes)
                if self._channel.has_line() and not isinstance(early := self._receive(), Busy):
                    return self._break_off(early)
        except ReadError as error:
            failure = error
        whole = failure is None and offset_bytes == self._file.size_bytes and not self._has_changed()
        last = Digest(digest.digest()) if whole else Changed()
        self._channel.send(filetransfer.encode_length(0), filetransfer.encode(last))
        while isinstance(message := self._receive(), Busy):
            pass
        if not isinstance(message, Kept | Failed):
            raise ProtocolError(f"{message} cannot come now")
        if failure is not None:
            raise failure
        return message

    def _break_off(self, early: FromReceiver) -> FileOutcome:
        if not isinstance(early, Failed):
            raise ProtocolError(f"{early} cannot come now")
        self._channel.send(filetransfer.encode_length(0), filetransfer.encode(Changed()))
        return early

    def _has_changed(self) -> bool:
        now, then = os.fstat(self._descriptor), self._found
        return (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns)

    def _receive(self) -> FromReceiver:
        return filetransfer.decode_from_receiver(self._channel.receive_line())

    def _send(self, message: FromSender) -> None:
        self._channel.send(filetransfer.encode(message))
