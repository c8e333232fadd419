"""What the person at either side sees: a bar with rate and time left on a terminal, else a line a file.

All of it goes to stderr. On stdout are the paths of what was received, a line each, for scripts.
"""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any, Self

import click

from ..wire.filetransfer import Failed, Failure, FileOutcome, Have, Kept, printable
from .table import size

REASONS = {
    Failure.NO_ROOM: "there is not enough room at the other side",
    Failure.NAME: "the file system at the other side cannot have such a name",
    Failure.BUSY: "the other side is receiving it from this machine already",
    Failure.DIGEST: "what arrived is not what was sent: send it again",
    Failure.CHANGED: "it changed while it was sent: send a copy of it",
    Failure.FORBIDDEN: "the other side may not write it there",
    Failure.BROKEN: "the other side could not keep it; what it shows says why",
}


def rate_words(count_bytes: int, elapsed_s: float) -> str:
    """`4.2 GB in 32.1 s, 131.0 MB/s`."""
    return f"{size(count_bytes)} in {elapsed_s:.1f} s, {size(int(count_bytes / max(elapsed_s, 1e-3)))}/s"


class Screen:
    """`with`: shows bars as long as it is open. Any thread may use it."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bars: Any = None
        if not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._bars = _rich_bars()

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def line(self, text: str) -> None:
        """A line that stays. -q leaves it out."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """A line that -q does not leave out."""
        if self._bars is None:
            click.echo(text, err=True)
        else:
            self._bars.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def path(self, path: bytes) -> None:
        """The path of what was received, on stdout."""
        if sys.stdout.isatty():
            self.line(printable(path)) if self._bars is not None else click.echo(printable(path))
            return
        with contextlib.suppress(OSError):  # nobody reads them any more
            sys.stdout.buffer.write(path + b"\n")
            sys.stdout.buffer.flush()

    def bar(self, total_bytes: int) -> "TransferBar":
        return TransferBar(self._bars, total_bytes)


class TransferBar:
    """The progress of one sender's files together. What needs not be sent again does not count as moved."""

    def __init__(self, bars: Any, total_bytes: int) -> None:
        self._bars = bars
        self._left_bytes = self._total_bytes = total_bytes
        self._task = None if bars is None else bars.add_task("", total=total_bytes, visible=False)
        self._name = ""
        self._done_bytes = self._begun_bytes = 0
        self._begun_s = time.monotonic()

    def moved(self, name: str, done_bytes: int) -> None:
        if name != self._name:
            self._name, self._done_bytes, self._begun_bytes = name, done_bytes, done_bytes
            self._begun_s = time.monotonic()
            self._skip(done_bytes)
        advance_bytes, self._done_bytes = done_bytes - self._done_bytes, done_bytes
        if self._task is not None:
            self._bars.update(self._task, advance=advance_bytes, description=name, visible=True)

    def ended(self, name: str, size_bytes: int) -> tuple[int, float] | None:
        """How many bytes of the file were moved, and in how many seconds; None: it came all at once."""
        if name == self._name:
            moved = self._done_bytes - self._begun_bytes, time.monotonic() - self._begun_s
            self._skip(size_bytes - self._done_bytes)
            self._name = ""
            return moved
        self._skip(size_bytes)
        return None

    def close(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None

    def _skip(self, count_bytes: int) -> None:
        if self._task is not None and count_bytes:
            self._total_bytes = max(self._total_bytes - count_bytes, 0)
            self._bars.update(self._task, total=self._total_bytes)


class SenderScreen:
    """See outgoing.SenderView. `failed` counts what did not arrive."""

    def __init__(self, screen: Screen, to: str) -> None:
        self._screen = screen
        self._to = to
        self._bar: TransferBar | None = None
        self.failed = 0
        self.moved_s = 0.0
        """When something got through the last time."""

    def begin(self, total_bytes: int) -> None:
        self.close()
        self._bar = self._screen.bar(total_bytes)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def moved(self, name: str, done_bytes: int, size_bytes: int) -> None:
        self.moved_s = time.monotonic()
        if self._bar is not None:
            self._bar.moved(name, done_bytes)

    def ended(self, name: str, size_bytes: int, outcome: FileOutcome) -> None:
        moved = None if self._bar is None else self._bar.ended(name, size_bytes)
        match outcome:
            case Failed(why):
                self.failed += 1
                self._screen.warn(f"{name}: {REASONS[why]}")
            case Have(_):
                self._screen.line(f"{name}: {self._to} has it already")
            case Kept(as_name):
                rate = f": {rate_words(*moved)}" if moved and moved[0] else ""
                there = printable(as_name)
                renamed = "" if there == name.removesuffix("/") else f" as {there}"
                self._screen.line(f"sent {name}{renamed}{rate}")

    def left_out(self, path: str, reason: str) -> None:
        self.failed += 1
        self._screen.warn(f"{printable(os.fsencode(path))}: left out: {reason}")


class ReceiverScreen:
    """See receiving.SessionView: the files of one sender. `not_kept` counts what could not be kept."""

    def __init__(self, screen: Screen, into: Path, sender: str) -> None:
        self._screen = screen
        self._into = into
        self._sender = sender
        self._bar = screen.bar(0)
        self.not_kept = 0

    def begin(self, files: int, total_bytes: int) -> None:
        self._bar.close()
        self._bar = self._screen.bar(total_bytes)
        plural = "" if files == 1 else "s"
        self._screen.line(f"{self._sender} sends {files} file{plural}, {size(total_bytes)}")

    def moved(self, name: str, done_bytes: int, size_bytes: int) -> None:
        self._bar.moved(name, done_bytes)
        if done_bytes == size_bytes:
            self._bar.ended(name, size_bytes)

    def kept(self, name: bytes, size_bytes: int) -> None:
        self._screen.path(os.fsencode(self._into / os.fsdecode(name)))

    def had(self, name: bytes) -> None:
        self._screen.line(f"{printable(name)}: it is here already")

    def failed(self, name: str, reason: str) -> None:
        self.not_kept += 1
        self._screen.warn(f"{name}: {reason}")

    def interrupted(self, reason: str) -> None:
        self._screen.warn(f"{self._sender}: interrupted ({reason}); it goes on when it is sent again")

    def close(self) -> None:
        self._bar.close()


def _rich_bars() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=2, no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        expand=True,
        transient=True,
    )
