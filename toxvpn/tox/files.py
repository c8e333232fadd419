"""Files that hold secrets or identity: read with a look at their mode, written whole or not at all.

In: paths and bytes. Out: bytes, or a one-line error that says what to do.
Neighbours: identity.py, friends.py and secretfile.py keep their files through here.
"""

import contextlib
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import ConfigError, NoPermissionError, ToxvpnError

log = logging.getLogger("toxvpn.files")

T = TypeVar("T")

DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What decoding a file raises that somebody or something has spoilt."""
PRIVATE_MODE = 0o600
OTHERS_MASK = 0o077


def write_atomic(path: Path, data: bytes, mode: int = PRIVATE_MODE) -> None:
    """Replaces the file by `data`: a reader, or a crash at any moment, sees the old or the new whole.

    In another user's directory, where root works on a service's files, it becomes that user's.
    Raises NoPermissionError or ToxvpnError (disk full, ...); the old file is then untouched.
    """
    if is_own(path):
        path = Path(os.path.realpath(path))  # replace what a link points to, not the link
    fresh = path.with_name(f".{path.name}.new")
    try:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()  # left by a run that was killed here
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)  # whatever the umask took away
                give_to_owner_of(path.parent, descriptor)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            fresh.replace(path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise explain(error, path, "write") from error


def is_own(path: Path) -> bool:
    """Whether the file, or the link itself, is ours: root must not be led astray by a service's link."""
    with contextlib.suppress(OSError):
        return path.lstat().st_uid == os.geteuid()
    return False


def give_to_owner_of(directory: Path, descriptor: int) -> None:
    """What root makes among a service's files would be closed to the service."""
    owner = directory.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        with contextlib.suppress(PermissionError):  # a file system without owners
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def sync_directory(directory: Path) -> None:
    """Makes a rename in the directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private(path: Path) -> bytes | None:
    """The content of a file of our own, or None if there is none.

    A file that others may read is tightened to 0600 and that is logged: older programs made it by
    the umask. Raises NoPermissionError when it can be neither read nor tightened.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{path} is not a regular file; move it away, or choose another directory")
            if found.st_mode & OTHERS_MASK:
                os.fchmod(file.fileno(), PRIVATE_MODE)
                log.warning("%s was open to other users of this machine (mode %o); it is 0600 now",
                            path, stat.S_IMODE(found.st_mode))  # fmt: skip
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain(error, path, "read") from error


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
    try:
        path.replace(aside)
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
