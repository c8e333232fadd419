"""The receiver's side of one stream: takes files of one sender, in the order in which they come.

In: a channel, the folder, who sends. Out: files, and what a person is to see (`ReceiverView`).
All that the sender says is untrusted; memory and descriptors are bounded, whatever it says.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..wire import filetransfer
from ..wire.filetransfer import (
    Begin,
    BeginFolder,
    Busy,
    Directory,
    EndAll,
    Ended,
    EndFolder,
    Failed,
    Failure,
    File,
    FromSender,
    Have,
    Kept,
    ProtocolError,
    printable,
)
from .arrival import Arrival, skip
from .channel import Channel
from .digesting import Lane, ReadError, digest_file, new_digest
from .folder import (
    NotKeptError,
    Unfinished,
    explained,
    keep_folder,
    open_below,
    open_existing,
    open_unfinished_folder,
    room_bytes,
    safe_name,
    tag_of,
)

T = TypeVar("T")

WAIT_FOR_LOCK_S = 15.0
LOOK_AGAIN_S = 0.5


class ReceiverView(Protocol):
    """What a person sees of one sender's files."""

    def begin(self, files: int, total_bytes: int) -> None: ...
    def moved(self, name: str, done_bytes: int, size_bytes: int) -> None: ...
    def kept(self, name: bytes, size_bytes: int) -> None: ...
    def had(self, name: bytes) -> None: ...
    def failed(self, name: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class IntoFolder:
    """Where a sender's files go: an open directory, and the umask for their modes."""

    directory: int
    umask: int


@dataclass(slots=True)
class OpenFolder:
    """The folder that the sender is in; `descriptor` None: it could not be made, for the reason `why`."""

    name: bytes
    descriptor: int | None = None
    why: Failure = Failure.BROKEN
    size_bytes: int = 0


class Incoming:
    """Call `run` once. `make_way` ends other streams of the same sender that have said nothing for long."""

    def __init__(
        self,
        channel: Channel,
        to: IntoFolder,
        public_key: bytes,
        view: ReceiverView,
        make_way: Callable[[], None] = lambda: None,
    ) -> None:
        self._channel = channel
        self._to = to
        self._tag = tag_of(public_key)
        self._view = view
        self._make_way = make_way
        self._lane = Lane()
        self._folder: OpenFolder | None = None
        self._begun = False

    def run(self) -> None:
        """Returns when the sender has sent all. Raises OSError, EOFError, ProtocolError: it broke."""
        try:
            while not self._take(self._receive()):
                pass
            self._send(Ended())
            self._channel.finish()
        finally:
            self._lane.drop()
            self._lane.close()
            self._leave_folder()

    def _take(self, message: FromSender) -> bool:
        """Does what the message says; True: it was the last."""
        match message:
            case Begin(files, total_bytes) if not self._begun:
                self._begun = True
                self._view.begin(files, total_bytes)
            case File():
                self._take_file(message)
            case BeginFolder(name):
                self._enter_folder(name)
            case Directory(path):
                self._make_directory(path)
            case EndFolder():
                self._end_folder()
            case EndAll():
                if self._folder is not None:
                    raise ProtocolError("a folder has no end")
                return True
            case Busy():
                pass
            case _:
                raise ProtocolError(f"{type(message).__name__} cannot come now")
        return False

    # -- folders

    def _enter_folder(self, name: bytes) -> None:
        if self._folder is not None:
            raise ProtocolError("a folder begins in a folder")
        self._folder = OpenFolder(safe_name(name, top=True))
        try:
            self._folder.descriptor = self._when_free(
                lambda: open_unfinished_folder(self._to.directory, safe_name(name, top=True), self._tag)
            )
        except NotKeptError as failure:
            self._folder.why = failure.why
            self._view.failed(printable(name), str(failure))

    def _make_directory(self, path: tuple[bytes, ...]) -> None:
        if self._folder is None:
            raise ProtocolError("a directory is in no folder")
        if self._folder.descriptor is not None:
            try:
                os.close(open_below(self._folder.descriptor, _safe(path)))
            except NotKeptError as failure:
                self._view.failed(_shown(path), str(failure))

    def _end_folder(self) -> None:
        folder = self._folder
        if folder is None:
            raise ProtocolError("a folder ends that has not begun")
        if folder.descriptor is None:
            self._send(Failed(folder.why))
        else:
            try:
                mode = 0o777 & ~self._to.umask
                name = keep_folder(self._to.directory, folder.descriptor, folder.name, self._tag, mode)
            except NotKeptError as failure:
                self._refuse(printable(folder.name), failure)
            else:
                self._view.kept(name + b"/", folder.size_bytes)
                self._send(Kept(name))
        self._leave_folder()

    def _leave_folder(self) -> None:
        if self._folder is not None and self._folder.descriptor is not None:
            os.close(self._folder.descriptor)
        self._folder = None

    # -- one file

    def _take_file(self, file: File) -> None:
        if self._folder is None and len(file.path) > 1:
            raise ProtocolError("a path has a folder that has not begun")
        with contextlib.ExitStack() as undo:
            try:
                directory, name = self._find_place(file, undo)
                existing = open_existing(directory, name, file.size_bytes, file.mtime_ns)
                if existing is not None:
                    undo.callback(os.close, existing)
                unfinished = self._when_free(lambda: Unfinished(directory, name, self._tag))
                undo.callback(unfinished.close)
                _check_room(directory, file.room_bytes - unfinished.length_bytes)
            except NotKeptError as failure:
                self._refuse(_shown(file.path), failure)
                if file.eager:
                    skip(self._channel, self._lane, file)
                return
            self._receive_file(file, name, unfinished, existing)

    def _receive_file(self, file: File, name: bytes, unfinished: Unfinished, existing: int | None) -> None:
        shown = _shown(file.path)

        def on_moved(done_bytes: int) -> None:
            self._view.moved(shown, done_bytes, file.size_bytes)

        arrival = Arrival(self._channel, self._lane, file, on_moved)
        offset_bytes = 0 if file.eager else arrival.agree(unfinished, existing)
        if offset_bytes is None:
            self._had(name, unfinished)
            return
        try:
            digest = arrival.take(unfinished, offset_bytes)
        except NotKeptError as failure:
            if failure.why in (Failure.CHANGED, Failure.DIGEST):
                unfinished.discard()
            self._view.failed(shown, str(failure))
            return
        if file.eager and existing is not None and _has_digest(existing, file.size_bytes, digest):
            self._had(name, unfinished)
            return
        self._keep(file, shown, unfinished)

    def _keep(self, file: File, shown: str, unfinished: Unfinished) -> None:
        mode = (0o777 if file.executable else 0o666) & ~self._to.umask
        try:
            name = unfinished.keep(mode, file.mtime_ns)
        except NotKeptError as failure:
            self._refuse(shown, failure)
            return
        if self._folder is None:
            self._view.kept(name, file.size_bytes)
        else:
            self._folder.size_bytes += file.size_bytes
        self._send(Kept(name))

    def _had(self, name: bytes, unfinished: Unfinished) -> None:
        unfinished.discard()
        if self._folder is None:
            self._view.had(name)
        self._send(Have(name))

    def _find_place(self, file: File, undo: contextlib.ExitStack) -> tuple[int, bytes]:
        """The open directory for the file, and its name there. Raises NotKeptError."""
        if self._folder is None:
            return self._to.directory, safe_name(file.path[0], top=True)
        if self._folder.descriptor is None:
            raise NotKeptError(self._folder.why, "its folder could not be made")
        *above, name = _safe(file.path)
        directory = open_below(self._folder.descriptor, tuple(above))
        undo.callback(os.close, directory)
        return directory, name

    def _when_free(self, take: Callable[[], T]) -> T:
        """What `take` gives, tried again while an earlier stream of this sender still has it."""
        given_up_s = time.monotonic() + WAIT_FOR_LOCK_S
        while True:
            try:
                return take()
            except NotKeptError as failure:
                if failure.why is not Failure.BUSY or time.monotonic() > given_up_s:
                    raise
            self._make_way()
            self._send(Busy())
            time.sleep(LOOK_AGAIN_S)

    def _refuse(self, name: str, failure: NotKeptError) -> None:
        self._view.failed(name, str(failure))
        self._send(Failed(failure.why))

    # -- messages

    def _receive(self) -> FromSender:
        return filetransfer.decode_from_sender(self._channel.receive_line())

    def _send(self, message: filetransfer.FromReceiver) -> None:
        self._channel.send(filetransfer.encode(message))


def _safe(path: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(safe_name(name, top=False) for name in path)


def _shown(path: tuple[bytes, ...]) -> str:
    return printable(b"/".join(path))


def _check_room(directory: int, wanted_bytes: int) -> None:
    """Raises NotKeptError."""
    with explained():
        free_bytes = room_bytes(directory)
    if wanted_bytes > free_bytes:
        text = f"there is not enough room: it takes {wanted_bytes} bytes, and {free_bytes} are free"
        raise NotKeptError(Failure.NO_ROOM, text)


def _has_digest(descriptor: int, size_bytes: int, wanted: bytes) -> bool:
    digest = new_digest()
    with contextlib.suppress(ReadError):
        digest_file(descriptor, size_bytes, digest, lambda: None)
        return digest.digest() == wanted
    return False
