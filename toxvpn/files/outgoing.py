"""The sender's side of one stream: offers each file, and sends what the receiver asks for.

In: a channel, and what is to be sent (sources.py). Out: how it went, to a `SenderView`. The receiver is not
trusted either: it learns of a file what it is sent, and digests of its first bytes.
"""

import os
import stat
from collections import deque
from typing import Protocol

from ..errors import ToxvpnError
from ..wire import filetransfer
from ..wire.filetransfer import (
    EAGER_BYTES,
    Begin,
    BeginFolder,
    Busy,
    Digest,
    Directory,
    EndAll,
    Ended,
    EndFolder,
    Failed,
    Failure,
    File,
    FileOutcome,
    FromReceiver,
    FromSender,
    Have,
    Kept,
    ProtocolError,
    printable,
)
from .channel import Channel
from .digesting import ReadError, new_digest
from .offer import FileOffer
from .sources import Source, SourceDirectory, SourceFile

MOST_UNANSWERED = 64
BLOCK_BYTES = 512  # of st_blocks (inode(7))


class SenderView(Protocol):
    """What a person sees."""

    def moved(self, name: str, done_bytes: int, size_bytes: int) -> None: ...
    def ended(self, name: str, size_bytes: int, outcome: FileOutcome) -> None: ...
    def left_out(self, path: str, reason: str) -> None: ...


class FullError(ToxvpnError):
    """The receiver has no more room."""


class Outgoing:
    """`begin`, `send` each source, `end`. Raises OSError, EOFError and ProtocolError: the stream broke."""

    def __init__(self, channel: Channel, view: SenderView) -> None:
        self._channel = channel
        self._view = view
        self._unanswered: deque[tuple[str, int]] = deque()
        self._folder: str | None = None

    def begin(self, files: int, total_bytes: int) -> None:
        self._send(Begin(files, total_bytes))

    def send(self, source: Source) -> None:
        """Returns when the receiver has answered for it. Raises FullError."""
        if not source.is_folder:
            for each in source.content(self._view.left_out):
                assert isinstance(each, SourceFile)
                self._send_file(each)
            self._await_answers()
            return
        self._folder = printable(source.name)
        self._send(BeginFolder(source.name))
        for each in source.content(self._view.left_out):
            if isinstance(each, SourceDirectory):
                self._send_directory(each)
            else:
                self._send_file(each)
        self._await_answers()
        self._send(EndFolder())
        folder, self._folder = self._folder, None
        self._view.ended(folder + "/", 0, self._outcome())

    def end(self) -> None:
        self._send(EndAll())
        while isinstance(message := self._receive(), Busy):
            pass
        if not isinstance(message, Ended):
            raise ProtocolError("the end is not answered")

    # -- one file

    def _send_directory(self, source: SourceDirectory) -> None:
        try:
            line = filetransfer.encode(Directory(source.names))
        except ValueError:
            self._view.left_out(os.fsdecode(b"/".join(source.names)), "its path is too long")
        else:
            self._channel.send(line)

    def _send_file(self, source: SourceFile) -> None:
        try:
            # in a folder, what was a file a moment ago may be a link or a pipe now
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if self._folder else 0)
            descriptor = os.open(source.path, flags)
        except OSError as error:
            self._view.left_out(source.path, error.strerror or str(error))
            return
        try:
            self._send_open_file(source, descriptor)
        finally:
            os.close(descriptor)

    def _send_open_file(self, source: SourceFile, descriptor: int) -> None:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            self._view.left_out(source.path, "it is not a file any more")
            return
        size_bytes, data = found.st_size, b""
        if size_bytes <= EAGER_BYTES:
            try:
                data = _read_all(descriptor)
            except OSError as error:
                self._view.left_out(source.path, error.strerror or str(error))
                return
            if len(data) > EAGER_BYTES:
                self._view.left_out(source.path, "it grows, or has no size of its own: send a copy")
                return
            size_bytes = len(data)
        room_bytes = min(size_bytes, found.st_blocks * BLOCK_BYTES)
        executable = bool(found.st_mode & stat.S_IXUSR)
        file = File(source.names, size_bytes, found.st_mtime_ns, executable, room_bytes)
        try:
            line = filetransfer.encode(file)
        except ValueError:
            self._view.left_out(source.path, "its path is too long")
            return
        shown = self._shown(source)
        if file.eager:
            self._send_eagerly(line, data, shown)
        else:
            self._await_answers()
            self._channel.send(line)

            def on_moved(done_bytes: int) -> None:
                self._view.moved(shown, done_bytes, size_bytes)

            try:
                outcome = FileOffer(self._channel, file, descriptor, on_moved).carry_out()
            except ReadError as error:
                self._view.left_out(source.path, str(error))
            else:
                self._report(shown, size_bytes, outcome)

    def _send_eagerly(self, line: bytes, data: bytes, shown: str) -> None:
        if len(self._unanswered) >= MOST_UNANSWERED:
            self._await_answers()
        digest = new_digest()
        digest.update(data)
        chunk = [filetransfer.encode_length(len(data)), data] if data else []
        after = filetransfer.encode_length(0) + filetransfer.encode(Digest(digest.digest()))
        self._channel.send(line, *chunk, after)
        self._unanswered.append((shown, len(data)))

    def _await_answers(self) -> None:
        while self._unanswered:
            outcome = self._outcome()
            shown, size_bytes = self._unanswered.popleft()
            self._view.moved(shown, size_bytes, size_bytes)
            self._report(shown, size_bytes, outcome)

    def _report(self, shown: str, size_bytes: int, outcome: FileOutcome) -> None:
        if self._folder is None or isinstance(outcome, Failed):
            self._view.ended(shown, size_bytes, outcome)
        if outcome == Failed(Failure.NO_ROOM):
            raise FullError("there is no more room at the other side; what is there of it stays")

    def _shown(self, source: SourceFile) -> str:
        names = printable(b"/".join(source.names))
        return names if self._folder is None else f"{self._folder}/{names}"

    # -- messages

    def _outcome(self) -> FileOutcome:
        while isinstance(message := self._receive(), Busy):
            pass
        if not isinstance(message, Kept | Have | Failed):
            raise ProtocolError(f"{type(message).__name__} cannot come now")
        return message

    def _receive(self) -> FromReceiver:
        return filetransfer.decode_from_receiver(self._channel.receive_line())

    def _send(self, message: FromSender) -> None:
        self._channel.send(filetransfer.encode(message))


def _read_all(descriptor: int) -> bytes:
    """All of a small file, or more than EAGER_BYTES of one that is not. Raises OSError."""
    data = bytearray()
    while len(data) <= EAGER_BYTES and (piece := os.read(descriptor, EAGER_BYTES + 1)):
        data += piece
    return bytes(data)
