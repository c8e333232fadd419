"""The socket file of a local listener: made where nobody listens, private, and removed at the end.

A file that a killed program has left is replaced, once a connection to it was refused and if it is our own
user's. Anything else that has the name stays as it is.
"""

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from ...errors import NoPermissionError, ToxvpnError
from ..spec import UnixListen

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
            make_room(self._path)
            self._bind(listen.mode)
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
            with contextlib.suppress(OSError):
                if _identify(self._path.lstat()) == self._identity:
                    self._path.unlink()
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

    def _bind(self, mode: int) -> None:
        before = os.umask(0o777 & ~mode)  # the file is never open to more, not even for a moment
        try:
            self.bind(str(self._path))
        finally:
            os.umask(before)
        self._identity = _identify(self._path.lstat())


def make_room(path: Path) -> None:
    """Removes the socket that a program of ours has left at `path`. Raises ToxvpnError, OSError."""
    try:
        info = path.lstat()
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
    now = path.lstat()
    if (*_identify(now), now.st_ctime_ns) == (*_identify(info), info.st_ctime_ns):  # a number is used again
        path.unlink()


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
