"""The folder that files are received into: what a peer calls them decides nothing but their names in it.

Everything is done through open directories, and no symbolic link is followed below the folder. A file has a
hidden name of its own, with a tag of its sender, until it is whole; then it gets its name, or one with a
number if that is taken: nothing that is there is ever replaced. A file that is not whole stays, so that the
same sender can go on with it. Whole folders work in the same way.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from .. import linux
from ..errors import ConfigError, NoPermissionError
from ..wire.filetransfer import MOST_NAME_BYTES, Failure

MOST_NUMBER = 999
PRIVATE_MODE = 0o600
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_CONTROL = bytes(b"_"[0] if each < 32 or each == 127 else each for each in range(256))
_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


class NotKeptError(Exception):
    """A file or folder cannot be kept; `why` goes to the sender, `str()` is for the receiver."""

    def __init__(self, why: Failure, text: str) -> None:
        super().__init__(text)
        self.why = why


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Makes a NotKeptError of an OSError."""
    try:
        yield
    except OSError as error:
        raise NotKeptError(_failure(error.errno or 0), error.strerror or str(error)) from error


def _failure(number: int) -> Failure:
    if number in _NO_ROOM:
        return Failure.NO_ROOM
    if number in _FORBIDDEN:
        return Failure.FORBIDDEN
    return Failure.NAME if number in _NAME else Failure.BROKEN


def open_folder(path: Path) -> int:
    """The descriptor of the folder that the person chose. Raises NoPermissionError, ConfigError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        raise NoPermissionError(f"{path} cannot be opened: permission denied") from None
    except FileNotFoundError:
        raise ConfigError(f"there is no folder {path}: make it first, or name another with --into") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be used as a folder: {error.strerror}") from None
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor):
        os.close(descriptor)
        raise NoPermissionError(f"nothing can be written to {path}: choose another folder with --into")
    return descriptor


def tag_of(public_key: bytes) -> bytes:
    """What stands for a sender in the names of its unfinished files: 12 hex digits."""
    return blake2b(public_key, digest_size=6).hexdigest().encode()


# -- names ----------------------------------------------------------------------------------------


def unfinished_name(name: bytes, tag: bytes) -> bytes:
    """`.photo.jpg.TAG.part`, no longer than a name may be."""
    ending = b"." + tag + b".part"
    room = MOST_NAME_BYTES - len(ending) - 1
    if len(name) > room:
        digest = blake2b(name, digest_size=8).hexdigest().encode()
        name = name[: room - len(digest)] + digest
    return b"." + name + ending


def safe_name(name: bytes, *, top: bool) -> bytes:
    """The name with `_` before it if it begins with a dot in the chosen folder, or looks unfinished.

    So a sender makes no hidden file where programs look for them, as .bashrc. Nor has a name there control
    characters: a script that reads the paths line by line would take what follows for one of its own.
    """
    if top:
        name = name.translate(_NO_CONTROL)
    unfinished = name.startswith(b".") and name.endswith(b".part")
    return (b"_" + name)[:MOST_NAME_BYTES] if unfinished or (top and name.startswith(b".")) else name


def numbered(name: bytes, number: int) -> bytes:
    """`photo (1).jpg`; 0: the name itself."""
    if not number:
        return name
    stem, dot, ending = name.rpartition(b".")
    if not stem or len(ending) > 16:
        stem, dot, ending = name, b"", b""
    more = b" (%d)" % number
    return stem[: MOST_NAME_BYTES - len(more) - len(dot + ending)] + more + dot + ending


# -- files and directories in an open directory ---------------------------------------------------


class Unfinished:
    """A file that is being received, locked: `descriptor` is open for reading and writing."""

    def __init__(self, directory: int, name: bytes, tag: bytes) -> None:
        """Opens what is there of it, or makes it. Raises NotKeptError."""
        self.directory = directory
        self._name = name
        self._part = unfinished_name(name, tag)
        with explained():
            self.descriptor = _locked(directory, self._part)

    @property
    def length_bytes(self) -> int:
        return os.fstat(self.descriptor).st_size

    def keep(self, mode: int, mtime_ns: int) -> bytes:
        """Gives it its mode, time and name; returns the name. Raises NotKeptError."""
        with explained():
            os.fchmod(self.descriptor, mode)
            with contextlib.suppress(OSError, OverflowError):  # a time that this file system cannot have
                os.utime(self.descriptor, ns=(mtime_ns, mtime_ns))
            return give_name(self.directory, self._part, self._name)

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._part, dir_fd=self.directory)

    def close(self) -> None:
        os.close(self.descriptor)


def open_existing(directory: int, name: bytes, size_bytes: int, mtime_ns: int) -> int | None:
    """The descriptor of a regular file of that name, size and time, if there is one that can be read."""
    with contextlib.suppress(OSError):
        descriptor = os.open(name, os.O_RDONLY | _OPEN, dir_fd=directory)
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns) == (size_bytes, mtime_ns):
            return descriptor
        os.close(descriptor)
    return None


def open_unfinished_folder(directory: int, name: bytes, tag: bytes) -> int:
    """A folder that is being received, locked. Raises NotKeptError."""
    part = unfinished_name(name, tag)
    with explained():
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=directory)
        descriptor = os.open(part, _OPEN_DIRECTORY, dir_fd=directory)
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "another user's folder has the name of an unfinished one")
            _lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def keep_folder(directory: int, descriptor: int, name: bytes, tag: bytes, mode: int) -> bytes:
    """Gives a whole folder its mode and name; returns the name. Raises NotKeptError."""
    with explained():
        os.fchmod(descriptor, mode)
        return give_name(directory, unfinished_name(name, tag), name)


def open_below(directory: int, path: tuple[bytes, ...]) -> int:
    """The directory at `path` below an open one, with what is missing of it made. Raises NotKeptError."""
    with explained():
        current = os.dup(directory)
        try:
            for name in path:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=current)
                following = os.open(name, _OPEN_DIRECTORY, dir_fd=current)
                os.close(current)
                current = following
        except BaseException:
            os.close(current)
            raise
    return current


def give_name(directory: int, part: bytes, name: bytes) -> bytes:
    """Renames to `name`, or to the first with a number that is free. Raises OSError."""
    for number in range(MOST_NUMBER + 1):
        with contextlib.suppress(FileExistsError):
            _rename_exclusive(directory, part, numbered(name, number))
            return numbered(name, number)
    raise FileExistsError(errno.EEXIST, f"{MOST_NUMBER} files have this name, with numbers, already")


def _rename_exclusive(directory: int, part: bytes, name: bytes) -> None:
    try:
        linux.rename_exclusive(part, name, directory)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        _take_and_rename(directory, part, name)


def _take_and_rename(directory: int, part: bytes, name: bytes) -> None:
    """For a file system without RENAME_NOREPLACE: takes the name with something empty, and replaces that."""
    if stat.S_ISDIR(os.stat(part, dir_fd=directory, follow_symlinks=False).st_mode):
        os.mkdir(name, dir_fd=directory)
    else:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, PRIVATE_MODE, dir_fd=directory))
    os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)


def _locked(directory: int, part: bytes) -> int:
    """Opens the file of that name, or makes it, and locks it. Raises OSError, NotKeptError."""
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | _OPEN, PRIVATE_MODE, dir_fd=directory)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
                raise PermissionError(errno.EPERM, "something else has the name of an unfinished file")
            _lock(descriptor)
            with contextlib.suppress(FileNotFoundError):
                named = os.stat(part, dir_fd=directory, follow_symlinks=False)
                if (named.st_dev, named.st_ino) == (found.st_dev, found.st_ino):
                    return descriptor  # not finished by another process meanwhile
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Raises NotKeptError when another transfer has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise NotKeptError(Failure.BUSY, "it is being received already") from None


def read_umask() -> int:
    """The process's umask, which can only be read by setting it: to be called before there are threads."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def room_bytes(directory: int) -> int:
    """How much more an ordinary user may write there. Raises OSError."""
    found = os.fstatvfs(directory)
    return found.f_bavail * found.f_frsize
