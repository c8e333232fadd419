"""`-F`: the file with our process ID, for scripts that start and stop services.

A lock on the file (state/lock.py) tells a running daemon from a file that one left behind.
"""

import contextlib
import os
from pathlib import Path
from typing import Self

from ..errors import ConfigError, ToxvpnError
from ..state import lock
from ..state.files import explain

MODE = 0o644


class PidFile:
    """Held from construction until `close`, also across a fork. The file of a dead daemon is taken over.

    Raises ToxvpnError when a running process holds it, ConfigError when it is not a pidfile,
    NoPermissionError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()  # a daemon changes its working directory
        self._descriptor = _locked(self.path)
        try:
            self._check()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self) -> None:
        """Writes the ID of this process, which is to be the one that serves."""
        lock.write_pid(self._descriptor)

    def close(self) -> None:
        """Removes the file, or empties it where we may not remove it any more."""
        try:
            if os.path.samestat(os.fstat(self._descriptor), self.path.lstat()):
                self.path.unlink()
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def leave(self) -> None:
        """Lets go of the file without removing it: a child process holds it too."""
        os.close(self._descriptor)

    def _check(self) -> None:
        """Raises ConfigError when the file holds anything but a process ID: it would be overwritten."""
        found = os.fstat(self._descriptor)
        is_small = found.st_size <= lock.PID_BYTES
        content = os.pread(self._descriptor, lock.PID_BYTES, 0).strip() if is_small else b"something else"
        if content and not content.isdigit():
            raise ConfigError(f"-F {self.path} exists and is not a pidfile: choose another file")


def _locked(path: Path) -> int:
    try:
        return lock.take(path, MODE, give=False)  # its owner can name any process in it, so that stays us
    except lock.LockHeldError as held:
        raise ToxvpnError(
            f"{path} belongs to a toxvpn that is running, process {held.holder or '(just starting)'}: "
            "stop it, or choose another file with -F"
        ) from None
    except OSError as error:
        raise explain(error, path, "write") from error
