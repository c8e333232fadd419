"""A file that one process at a time holds (flock(2)), and the process ID that its holder writes into it.

The kernel drops the lock when the last process that inherited the descriptor ends, however it ends, so a file
left behind is no obstacle. A process ID alone would say nothing: they are used again.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from .folder import PRIVATE_MODE, Folder

PID_BYTES = 32
"""A longer file is not one of process IDs."""


class LockHeldError(Exception):
    """Another process holds the lock. `holder` is the process ID in the file, "" when it has none."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def take(path: Path, mode: int = PRIVATE_MODE, *, wait: bool = False, give: bool = True) -> int:
    """A descriptor that holds the lock on the file, which is made where it is missing; closing it lets go.

    `give`: what root makes in another user's directory becomes that user's. Raises LockHeldError at once
    unless it may `wait`; OSError; ConfigError when it is not a file that we should use.
    """
    while True:
        descriptor = _open(path, mode, give=give)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, PID_BYTES, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise LockHeldError(holder) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has just removed the file


def write_pid(descriptor: int) -> None:
    """Says that this process is the holder."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _open(path: Path, mode: int, *, give: bool) -> int:
    with Folder(path) as folder:
        descriptor, made = folder.open_or_make(path.name, mode)
        if made and give:
            folder.give(descriptor)
        return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False
