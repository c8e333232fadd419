"""Private files, for identity and secrets: checks their mode when reading, and replaces them atomically.

In: paths and bytes. Out: bytes, or a one-line error that says what to do.
Neighbours: everything that keeps a file does it through here; folder.py makes it safe in a directory that
belongs to another user.
"""

import logging
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from ..errors import ConfigError, NoPermissionError, ToxvpnError
from .folder import PRIVATE_MODE, Folder

log = logging.getLogger("toxvpn.files")

T = TypeVar("T")

DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""The exceptions that decoding a damaged file raises."""
OTHERS_MASK = 0o077


def write_atomic(path: Path, data: bytes, mode: int = PRIVATE_MODE) -> None:
    """Replaces the file by `data` atomically: after a crash it has all of the old or all of the new content.

    When root writes into another user's directory, as for a service, the file is given to that user.
    Raises NoPermissionError or ToxvpnError (disk full, ...); the old file is then untouched.
    """
    try:
        with Folder(path) as folder:
            if not (folder.is_ours and folder.is_link(path.name)):
                _replace(folder, path.name, data, mode)
                return
        path = Path(os.path.realpath(path))  # replaces the target of our own link, not the link
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
    """The content of a file of our own, or None if there is no such file.

    The mode of a file that others may read is set to 0600, with a warning: older programs left it to the
    umask. Raises NoPermissionError when it cannot be read or its mode not be set, ConfigError when
    Folder.open refuses it.
    """
    try:
        with Folder(path) as folder, os.fdopen(folder.open(path.name, os.O_RDONLY), "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & OTHERS_MASK:
                os.fchmod(file.fileno(), PRIVATE_MODE)
                log.warning("%s was readable by other users of this machine (mode %o); its mode is 0600 now",
                            path, stat.S_IMODE(found.st_mode))  # fmt: skip
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain(error, path, "read") from error


def open_given(path: Path) -> BinaryIO:
    """Opens a file that a person has named, for reading; a pipe (`<(pass show x)`) is fine.

    In another user's directory root reads only what that user could read, by the rules of Folder. Raises
    OSError, ConfigError.
    """
    if os.geteuid() == 0:
        with Folder(path) as folder:
            if not folder.is_ours:
                return os.fdopen(folder.open(path.name, os.O_RDONLY), "rb")
    return path.open("rb")


def read_given(path: Path) -> bytes:
    """The content of a file that a person has named. Raises as `open_given`."""
    with open_given(path) as file:
        return file.read()


def read_record(path: Path, decode: Callable[[bytes], T], empty: T, consequence: str) -> T:
    """The decoded file; `empty` when it is missing or damaged. A damaged one is kept as .bad.

    `consequence` is for the log: what the damage means. Raises NoPermissionError or ToxvpnError when the file
    is there and cannot be read.
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
    """Renames it. Raises ToxvpnError."""
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
        return ConfigError(
            f"cannot {doing} {path}: {reason}; move it away, or choose another directory with -C DIR"
        )
    return ToxvpnError(f"cannot {doing} {path}: {reason}")


def owner_hint(path: Path) -> str:
    """The remedy for a file or directory without permission: names the user it belongs to."""
    for place in (path, *path.parents):
        try:
            owner = place.stat().st_uid
        except OSError:
            continue
        if owner == os.geteuid():
            return f"; make {place} writable, or choose another directory with -C DIR"
        return f"; {place} belongs to {user_name(owner)}: run as that user, or choose a directory with -C DIR"
    return ""


def why_not_started(error: OSError) -> str:
    """Why a process of our own (interpreter.py) did not start, fit for the middle of a line."""
    if isinstance(error, PermissionError):
        who = user_name(os.geteuid())
        return f"{who} cannot run {sys.executable}: install toxvpn where every user can read it"
    return str(error.strerror)


def user_name(uid: int) -> str:
    import pwd  # only needed for messages

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
