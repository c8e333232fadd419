"""The socket file of a local listener: made where nobody listens, private, and removed at the end.

A file that a killed program has left is replaced, once a connection to it was refused and if it is our own
user's. Anything else that has the name stays as it is. Links of other users are not followed (place.py).
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from ...errors import NoPermissionError, ToxvpnError
from ..spec import UnixListen
from .place import open_place

BACKLOG = 1024
"""The kernel caps it at net.core.somaxconn."""
_STALE = (errno.ECONNREFUSED, errno.ENOENT)


class SocketFile(socket.socket):
    """A listening, non-blocking Unix socket that removes its file when it is closed, and not before.

    Raises ToxvpnError (somebody listens there, another file has the name), NoPermissionError.
    """

    def __init__(self, listen: UnixListen) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = Path(listen.path)
        self._identity: tuple[int, int] | None = None
        try:
            with _directory_of(self._path) as directory:
                _make_room(self._path, directory)
                self._bind(directory, listen.mode)
            self.listen(BACKLOG)
            self.setblocking(False)
        except OSError as failure:
            self.close()
            raise _explained(self._path, failure) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Idempotent. A file that has the name by now, but is another one, stays."""
        if self._identity is not None:
            with contextlib.suppress(OSError), _directory_of(self._path) as directory:
                if _identify(_stat(self._path, directory)) == self._identity:
                    os.unlink(self._path.name, dir_fd=directory)
            self._identity = None
        super().close()

    def set_mode(self, mode: int) -> None:
        """Raises OSError."""
        with contextlib.suppress(FileNotFoundError):  # somebody has removed it
            descriptor = os.open(self._path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if _identify(os.fstat(descriptor)) == self._identity:
                    Path(f"/proc/self/fd/{descriptor}").chmod(mode)
            finally:
                os.close(descriptor)

    def _bind(self, directory: int, mode: int) -> None:
        before = os.umask(0o777 & ~mode)  # the file is never open to more, not even for a moment
        try:
            self.bind(str(self._path))
        finally:
            os.umask(before)
        self._identity = _identify(_stat(self._path, directory))


@contextlib.contextmanager
def _directory_of(path: Path) -> Iterator[int]:
    """The directory, open. Raises OSError."""
    directory = open_place(str(path.parent))
    try:
        yield directory
    finally:
        os.close(directory)


def _stat(path: Path, directory: int) -> os.stat_result:
    """Raises OSError."""
    return os.stat(path.name, dir_fd=directory, follow_symlinks=False)


def _make_room(path: Path, directory: int) -> None:
    """Removes the socket that a program of ours has left at `path`. Raises ToxvpnError, OSError."""
    try:
        info = _stat(path, directory)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(info.st_mode):
        raise ToxvpnError(f"cannot listen on {path}: a file there is not a socket; choose another path")
    if answers(path):
        text = "a program listens there; choose another path, or stop it"
        raise ToxvpnError(f"cannot listen on {path}: {text}")
    if info.st_uid != os.geteuid():
        text = "another user has left a socket there; remove it, or choose another path"
        raise NoPermissionError(f"cannot listen on {path}: {text}")
    now = _stat(path, directory)
    if (*_identify(now), now.st_ctime_ns) == (*_identify(info), info.st_ctime_ns):  # a number is used again
        os.unlink(path.name, dir_fd=directory)


def answers(path: Path) -> bool:
    """Whether a program listens at `path`, as far as this user may know."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except OSError as failure:  # EAGAIN: its queue is full; EPROTOTYPE: it takes datagrams
            return failure.errno not in _STALE
    return True


def _identify(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _explained(path: Path, failure: OSError) -> ToxvpnError:
    where = f"cannot listen on {path}"
    match failure.errno:
        case errno.EADDRINUSE:
            return ToxvpnError(f"{where}: another program has just taken it; choose another path")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return NoPermissionError(f"{where}: {failure.strerror}; choose a directory of your own")
        case errno.ENOENT:
            return ToxvpnError(f"{where}: there is no such directory; make it first")
    return ToxvpnError(f"{where}: {failure.strerror or failure}; choose another path")
