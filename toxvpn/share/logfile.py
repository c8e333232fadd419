"""The log file of shared nodes, which have no terminal: of bounded size, in the state directory.

All shared nodes of a user, or of a directory given with -C, write to the same two files: shared.log, and
shared.log.1 with what came before it.
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
"""The largest size of each of the two files."""
FORMAT = "%(asctime)s toxvpn-shared[%(process)d] %(levelname)s: %(message)s"


def open_log_file(directory: Path | None) -> logging.Handler | None:
    """`directory` is -C. None when the state directory cannot be used."""
    try:
        return BoundedLogFile(make(find_places(directory).state) / LOG_NAME)
    except ToxvpnError:
        return None


class BoundedLogFile(logging.Handler):
    """Writes a line for each record, and opens the file for each: another node may have renamed it."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter(FORMAT))
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        # neither a full disk nor a bad file may end the connections
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
