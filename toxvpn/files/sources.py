"""What is to be sent: the files and folders that a person named, and what is in the folders.

A name that the person typed may be a symbolic link; within folders no link is followed. Whatever is neither a
file nor a folder is left out, and so is what cannot be read; the person is told of each.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToxvpnError, UsageError
from ..wire.filetransfer import printable

LeftOut = Callable[[str, str], None]
"""Is told of a path that is not sent, and why."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`names`: its path from the folder on that is sent, or its name alone."""

    path: str
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SourceDirectory:
    """A directory within the folder."""

    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One of the paths that were named."""

    path: str
    name: bytes
    is_folder: bool

    def content(self, left_out: LeftOut) -> Iterator[SourceFile | SourceDirectory]:
        """The file alone; or what is in the folder, directories before what is in them."""
        if self.is_folder:
            yield from _below(self.path, (), left_out)
        else:
            yield SourceFile(self.path, (self.name,))


def find_sources(paths: Sequence[str]) -> list[Source]:
    """Raises ToxvpnError: one cannot be sent."""
    return [_find(path) for path in paths]


def _find(path: str) -> Source:
    shown = printable(os.fsencode(path))
    try:
        found, name = Path(path).stat(), _name_of(Path(path))
    except OSError as error:
        hint = "" if os.path.lexists(path) else " (the peer comes last: toxvpn send FILE... PEER)"
        raise ToxvpnError(f"cannot send {shown}: {error.strerror}{hint}") from None
    is_folder = stat.S_ISDIR(found.st_mode)
    if not is_folder and not stat.S_ISREG(found.st_mode):
        raise UsageError(f"cannot send {shown}: only files and folders can be sent, and it is something else")
    if not name:
        raise UsageError(f"cannot send {shown}: it has no name that it could have at the other side")
    if not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
        raise ToxvpnError(f"cannot send {shown}: permission denied")
    return Source(path, os.fsencode(name), is_folder)


def _name_of(path: Path) -> str:
    """Raises OSError."""
    absolute = path.absolute()
    return absolute.resolve().name if absolute.name == ".." else absolute.name


def measure(sources: Sequence[Source]) -> tuple[int, int]:
    """How many files there are, and how many bytes, as far as can be seen."""
    files = total_bytes = 0
    for source in sources:
        for each in source.content(lambda path, reason: None):
            if isinstance(each, SourceFile):
                files += 1
                total_bytes += size_of(each.path)
    return files, total_bytes


def size_of(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _below(
    folder: str, names: tuple[bytes, ...], left_out: LeftOut
) -> Iterator[SourceFile | SourceDirectory]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        left_out(folder, error.strerror or str(error))
        return
    for entry in entries:
        below = (*names, os.fsencode(entry.name))
        if entry.is_dir(follow_symlinks=False):
            yield SourceDirectory(below)
            yield from _below(entry.path, below, left_out)
        elif entry.is_file(follow_symlinks=False):
            yield SourceFile(entry.path, below)
        else:
            left_out(entry.path, "a symbolic link" if entry.is_symlink() else "neither a file nor a folder")
