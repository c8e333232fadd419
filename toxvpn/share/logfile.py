"""The shared node's own log: a file of bounded size in the state directory, as it has no terminal.

Every shared node of a user, or of a directory given with -C, writes to the same two files: shared.log and,
when that is full, shared.log.1 with what came before.
"""

import contextlib
import logging
import os
from pathlib import Path

from ..errors import ToxvpnError
from ..state.folder import Folder
from ..state.places import find_places, make

LOG_NAME = "shared.log"
LIMIT_BYTES = 256 * 1024
"""Of each of the two files."""
FORMAT = "%(asctime)s toxvpn-shared[%(process)d] %(levelname)s: %(message)s"


def keep_log(directory: Path | None) -> logging.Handler | None:
    """`directory` is -C. None when there is no place for it."""
    try:
        return BoundedLog(make(find_places(directory).state) / LOG_NAME)
    except ToxvpnError:
        return None


class BoundedLog(logging.Handler):
    """A line a record. The file is opened for each: it may have been moved aside, by another node too."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter(FORMAT))
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        # a full disk must not end the connections, nor a file in the way
        with contextlib.suppress(OSError, ToxvpnError), Folder(self._path) as folder:
            self._append(folder, self.format(record).encode("utf-8", "backslashreplace") + b"\n")

    def _append(self, folder: Folder, line: bytes) -> None:
        name = self._path.name
        with open(self._open(folder), "ab", buffering=0) as file:  # noqa: PTH123
            if os.fstat(file.fileno()).st_size < LIMIT_BYTES:
                file.write(line)
                return
        folder.rename(name, f"{name}.1")
        with open(self._open(folder), "ab", buffering=0) as file:  # noqa: PTH123
            file.write(line)

    def _open(self, folder: Folder) -> int:
        descriptor, made = folder.open_or_make(self._path.name, flags=os.O_WRONLY | os.O_APPEND)
        if made:
            folder.give(descriptor)
        return descriptor
