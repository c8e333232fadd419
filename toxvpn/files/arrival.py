"""The bytes of one file that comes: from where on, into which file, and whether they are the right ones."""

import contextlib
import errno
import os
from collections.abc import Callable

from ..wire import filetransfer
from ..wire.filetransfer import (
    MOST_CHUNK_BYTES,
    Busy,
    Changed,
    Check,
    Digest,
    Failed,
    Failure,
    File,
    FromReceiver,
    FromSender,
    ProtocolError,
    SendFrom,
)
from .channel import Channel
from .digesting import Lane, ReadError, digest_file, new_digest
from .folder import NotKeptError, Unfinished, explained

ZEROS = bytes(MOST_CHUNK_BYTES)


class Arrival:
    """Takes what a channel brings of `file`. Raises OSError, EOFError and ProtocolError when that breaks.

    `on_moved` is called with the number of the file's bytes that are here.
    """

    def __init__(self, channel: Channel, lane: Lane, file: File, on_moved: Callable[[int], None]) -> None:
        self._channel = channel
        self._lane = lane
        self._file = file
        self._on_moved = on_moved
        self._digest = new_digest()
        self._descriptor = -1
        self._written_bytes = 0

    def agree(self, unfinished: Unfinished, existing: int | None) -> int | None:
        """Asks the sender from where on it is to send, and says so; None: `existing` is the file."""
        size_bytes = self._file.size_bytes
        if existing is not None and self._has_first(existing, size_bytes):
            return None
        offset_bytes = min(unfinished.length_bytes, size_bytes)
        if offset_bytes and not self._has_first(unfinished.descriptor, offset_bytes):
            offset_bytes = 0
        if not offset_bytes:
            self._digest = new_digest()
        self._send(SendFrom(offset_bytes))
        return offset_bytes

    def _has_first(self, descriptor: int, count_bytes: int) -> bool:
        """Whether the sender's file begins with those bytes of ours."""
        self._send(Check(count_bytes))
        self._digest = new_digest()
        found_bytes = 0
        with contextlib.suppress(ReadError):
            found_bytes = digest_file(descriptor, count_bytes, self._digest, lambda: self._send(Busy()))
        while isinstance(message := self._receive(), Busy):
            pass
        if not isinstance(message, Digest):
            raise ProtocolError("a digest does not come")
        return found_bytes == count_bytes and message.blake2b == self._digest.digest()

    def take(self, unfinished: Unfinished, offset_bytes: int) -> bytes:
        """Takes the bytes from there on; returns the digest of the whole.

        Raises NotKeptError, of which the sender has then been told; the channel is at the next message.
        """
        try:
            return self._take(unfinished, offset_bytes)
        finally:
            self._lane.drop()  # before its descriptor is closed

    def _take(self, unfinished: Unfinished, offset_bytes: int) -> bytes:
        self._descriptor, self._written_bytes = unfinished.descriptor, offset_bytes
        failure: NotKeptError | None = None
        try:
            with explained():
                os.ftruncate(self._descriptor, offset_bytes)
        except NotKeptError as error:
            failure = self._refuse(error)
        taken_bytes = offset_bytes
        while count := self._channel.receive_length():
            taken_bytes += count
            if taken_bytes > self._file.size_bytes:
                raise ProtocolError("more bytes come than the file has")
            failure = self._take_chunk(count, failure)
            self._on_moved(taken_bytes)
        failure = self._finish_writing(taken_bytes, failure)
        message = self._receive()
        if failure is not None:
            if not isinstance(message, Digest | Changed):
                raise ProtocolError("the bytes of a file end without a digest")
            raise failure
        return self._checked(message, taken_bytes)

    def _take_chunk(self, count: int, failure: NotKeptError | None) -> NotKeptError | None:
        try:
            with explained():
                buffer = self._lane.buffer()
        except NotKeptError as error:
            self._lane.drop()
            failure, buffer = self._refuse(error), self._lane.buffer()
        self._channel.receive_into(buffer[:count])
        if failure is None:
            self._lane.run(self._store, buffer, count)
        else:
            self._lane.give_back(buffer)
        return failure

    def _finish_writing(self, taken_bytes: int, failure: NotKeptError | None) -> NotKeptError | None:
        if failure is not None:
            return failure
        try:
            with explained():
                self._lane.finish()
                os.ftruncate(self._descriptor, taken_bytes)  # it may end with zeros that were not written
        except NotKeptError as error:
            return self._refuse(error)
        return None

    def _checked(self, message: FromSender, taken_bytes: int) -> bytes:
        match message:
            case Changed():
                raise self._refuse(NotKeptError(Failure.CHANGED, "it changed while it was sent"))
            case Digest(blake2b) if taken_bytes == self._file.size_bytes:
                if blake2b != self._digest.digest():
                    text = "what came is not what was sent: its digest is another one"
                    raise self._refuse(NotKeptError(Failure.DIGEST, text))
                return blake2b
        raise ProtocolError("the bytes of a file end without a digest, or too early")

    def _store(self, data: memoryview) -> None:
        """In the lane's thread. Zeros become a hole, as they may have been one."""
        self._digest.update(data)
        offset_bytes, end_bytes = self._written_bytes, self._written_bytes + len(data)
        if not _all_zero(data):
            while offset_bytes < end_bytes:
                written = os.pwrite(self._descriptor, data[offset_bytes - end_bytes :], offset_bytes)
                if not written:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                offset_bytes += written
        self._written_bytes = end_bytes

    def _refuse(self, failure: NotKeptError) -> NotKeptError:
        """Tells the sender, once for each file."""
        self._send(Failed(failure.why))
        return failure

    def _receive(self) -> FromSender:
        return filetransfer.decode_from_sender(self._channel.receive_line())

    def _send(self, message: FromReceiver) -> None:
        self._channel.send(filetransfer.encode(message))


def _all_zero(data: memoryview) -> bool:
    return data[:64] == ZEROS[: len(data[:64])] and data.tobytes() == ZEROS[: len(data)]


def skip(channel: Channel, lane: Lane, file: File) -> None:
    """Takes the bytes of a file, and the message after them, for nothing."""
    taken_bytes = 0
    buffer = lane.buffer()
    while count := channel.receive_length():
        taken_bytes += count
        if taken_bytes > file.size_bytes:
            raise ProtocolError("more bytes come than the file has")
        channel.receive_into(buffer[:count])
    lane.give_back(buffer)
    if not isinstance(filetransfer.decode_from_sender(channel.receive_line()), Digest | Changed):
        raise ProtocolError("the bytes of a file end without a digest")
