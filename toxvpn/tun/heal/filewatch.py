"""Notices when files are written, replaced, made or removed, through inotify(7).

In: paths, which need not exist; out: a call for each change of one of them. The folders are watched, since
programs put a new file in the place of the old one; a link's folder and that of its target both count.
"""

import asyncio
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ... import linux

CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x008, 0x040, 0x080, 0x100, 0x200
OVERFLOW = 0x4000
_EVENT = struct.Struct("=iIII")  # struct inotify_event: watch, mask, cookie, length of the name


class FileWatch:
    """Calls `on_change` from construction until `close`. Needs a running loop. Raises OSError."""

    def __init__(self, files: Sequence[Path], on_change: Callable[[], None]) -> None:
        self._files = files
        self._on_change = on_change
        self._names: set[bytes] = set()
        self._descriptor = linux.inotify()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._drain)
        self.renew()

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def renew(self) -> None:
        """Watches folders that are new, too; those that are watched already stay so."""
        for path in self._files:
            for each in (path, path.resolve()):
                self._names.add(os.fsencode(each.name))
                with suppress(OSError):  # there is no such folder yet
                    mask = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
                    linux.inotify_watch(self._descriptor, each.parent, mask)

    def _drain(self) -> None:
        events = os.read(self._descriptor, 1 << 16)
        at = 0
        changed = False
        while at < len(events):
            _, mask, _, length = _EVENT.unpack_from(events, at)
            name = events[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
            changed = changed or name in self._names or bool(mask & OVERFLOW)
            at += _EVENT.size + length
        if changed:
            self.renew()
            self._on_change()
