"""Files that hold secrets or identity: read with a look at their mode, written whole or not at all.

In: paths and bytes. Out: bytes, or a one-line error that says what to do.
Neighbours: identity.py, friends.py and secretfile.py keep their files through here; folder.py keeps us
from being led astray where the directory is another user's.
"""

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from ..errors import ConfigError, NoPermissionError, ToxvpnError
from .folder import PRIVATE_MODE, Folder

log = logging.getLogger("toxvpn.files")

T = TypeVar("T")

DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What decoding a file raises that somebody or something has spoilt."""
OTHERS_MASK = 0o077


def write_atomic(path: Path, data: bytes, mode: int = PRIVATE_MODE) -> None:
    """Replaces the file by `data`: a reader, or a crash at any moment, sees the old or the new whole.

    In another user's directory, where root works on a service's files, it becomes that user's.
    Raises NoPermissionError or ToxvpnError (disk full, ...); the old file is then untouched.
    """
    try:
        with Folder(path) as folder:
            if not (folder.is_ours and folder.is_link(path.name)):
                _replace(folder, path.name, data, mode)
                return
        path = Path(os.path.realpath(path))  # what a link of our own points to, not the link
        with Folder(path) as folder:
            _replace(folder, path.name, data, mode)
    except OSError as error:
        raise explain(error, path, "write") from error


def _replace(folder: Folder, name: str, data: bytes, mode: int) -> None:
    """Raises OSError."""
    fresh = f".{name}.new"
    folder.remove(fresh)  # left by a run that was killed here
    descriptor = folder.make(fresh, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask took away
            folder.give(descriptor)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        folder.rename(fresh, name)
    except OSError:
        folder.remove(fresh)
        raise
    folder.sync()


def read_private(path: Path) -> bytes | None:
    """The content of a file of our own, or None if there is none.

    A file that others may read is tightened to 0600 and that is logged: older programs made it by
    the umask. Raises NoPermissionError when it can be neither read nor tightened, ConfigError when it is
    none that we should use.
    """
    try:
        with Folder(path) as folder, os.fdopen(folder.open(path.name, os.O_RDONLY), "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & OTHERS_MASK:
                os.fchmod(file.fileno(), PRIVATE_MODE)
                log.warning("%s was open to other users of this machine (mode %o); it is 0600 now",
                            path, stat.S_IMODE(found.st_mode))  # fmt: skip
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain(error, path, "read") from error


def open_given(path: Path) -> BinaryIO:
    """A file that a person has named, to be read; a pipe (`<(pass show x)`) is fine.

    Root, however, reads in another user's directory what that user could, as Folder has it. Raises OSError,
    ConfigError.
    """
    if os.geteuid() == 0:
        with Folder(path) as folder:
            if not folder.is_ours:
                return os.fdopen(folder.open(path.name, os.O_RDONLY), "rb")
    return path.open("rb")


def read_given(path: Path) -> bytes:
    """As `open_given`."""
    with open_given(path) as file:
        return file.read()


def read_record(path: Path, decode: Callable[[bytes], T], empty: T, consequence: str) -> T:
    """What `decode` makes of the file; `empty` when there is none, or it is damaged: then it is kept as .bad.

    `consequence` tells in the log what that means. Raises NoPermissionError or ToxvpnError when the file is
    there and cannot be read.
    """
    data = read_private(path)
    if data is None:
        return empty
    try:
        return decode(data)
    except DAMAGE as error:
        aside = path.with_name(f"{path.name}.bad")
        set_aside(path, aside)
        log.warning("%s is damaged (%s); kept as %s, %s", path, error, aside, consequence)
        return empty


def set_aside(path: Path, aside: Path) -> None:
    """Beside itself."""
    try:
        with Folder(path) as folder:
            folder.rename(path.name, aside.name)
    except OSError as error:
        raise explain(error, aside, "write") from error


def explain(error: OSError, path: Path, doing: str) -> ToxvpnError:
    """The error to show for a failed system call on `path`; `doing` is a verb such as "write"."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if isinstance(error, PermissionError):
        return NoPermissionError(f"cannot {doing} {path}: {reason}{owner_hint(path)}")
    if isinstance(error, IsADirectoryError | NotADirectoryError):
        return ConfigError(f"cannot {doing} {path}: {reason}; move it away, or choose another place")
    return ToxvpnError(f"cannot {doing} {path}: {reason}")


def owner_hint(path: Path) -> str:
    """What to do about a file or directory that is closed to us: names the user it belongs to."""
    for place in (path, *path.parents):
        try:
            owner = place.stat().st_uid
        except OSError:
            continue
        if owner == os.geteuid():
            return f"; make {place} writable, or choose another directory with -C DIR"
        return f"; {place} belongs to {user_name(owner)}: run as that user, or choose a directory with -C DIR"
    return ""


def user_name(uid: int) -> str:
    import pwd  # rarely needed: only in messages

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
