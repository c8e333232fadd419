"""Keeps a block of lines of our own in /etc/hosts, where no resolver asks our DNS server.

In: lines of hosts(5), and a mark that tells our blocks apart. Out: the file, replaced in one step. No line
outside the block is touched, nor one that somebody has put into it. The journal of network changes knows
which blocks there are (HostsBlock), so that a killed run's is taken out at the next start.
"""

import contextlib
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..errors import ToxvpnError
from ..state.files import explain, write_atomic
from .zone import DOMAIN

HOSTS = Path("/etc/hosts")
MARK = re.compile(r"[^\s/:%]{1,15}")
"""The device's name, as interfaces may be called."""
LABEL_XATTR = "security.selinux"
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class HostsBlock:
    """A change of the journal (tun/host/changes.py): the block with that mark is in /etc/hosts.

    Raises ValueError on a mark that cannot be ours: a journal is not trusted.
    """

    kind: ClassVar[str] = "hosts"
    mark: str

    def __post_init__(self) -> None:
        if not MARK.fullmatch(self.mark):
            raise ValueError(f"{self.mark!r} marks no block of ours")

    def apply(self, net: object) -> None:
        """Raises ToxvpnError as `put_block`."""
        put_block(self.mark, ())

    def undo(self, net: object) -> None:
        """Raises ToxvpnError when the file cannot be replaced."""
        with contextlib.suppress(FileNotFoundError):
            _change(lambda text: without_block(text, self.mark))


def put_block(mark: str, lines: Sequence[str]) -> None:
    """Puts the lines in the block, in place of those that it had. Raises ToxvpnError."""
    try:
        _change(lambda text: with_block(text, mark, lines))
    except FileNotFoundError as error:
        raise explain(error, HOSTS, "read") from error


def with_block(text: str, mark: str, lines: Sequence[str]) -> str:
    """`text` with the block: at its end, or first where the last line is not ended."""
    rest = without_block(text, mark)
    block = "".join(f"{line}\n" for line in (_begin(mark), *lines, _end(mark)))
    return rest + block if rest.endswith("\n") or not rest else block + rest


def without_block(text: str, mark: str) -> str:
    """`text` without the block; lines that others have put into it stay."""
    lines: list[str] = _LINES.findall(text)
    ends = [number for number, line in enumerate(lines) if line.rstrip("\n") == _end(mark)]
    kept: list[str] = []
    inside, until = False, -1
    for number, line in enumerate(lines):
        if line.rstrip("\n") == _begin(mark):
            inside, until = True, min((end for end in ends if end > number), default=-1)
        elif inside and _is_ours(line):
            continue
        elif number == until:
            inside = False
        else:
            inside = inside and number < until  # without its end, the block ends at a line of others
            kept.append(line)
    return "".join(kept)


def _begin(mark: str) -> str:
    return f"# BEGIN toxvpn {mark} (kept by toxvpn: changes in here are lost)"


def _end(mark: str) -> str:
    return f"# END toxvpn {mark}"


def _is_ours(line: str) -> bool:
    return line.rstrip("\n").endswith(f".{DOMAIN}") and not line.startswith("#")


def _change(edit: Callable[[str], str]) -> None:
    """Raises FileNotFoundError, ToxvpnError."""
    try:
        before = HOSTS.read_bytes()
        mode = stat.S_IMODE(HOSTS.stat().st_mode)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise explain(error, HOSTS, "read") from error
    after = edit(before.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    if after == before:
        return
    if HOSTS.is_mount():
        raise ToxvpnError(
            f"{HOSTS} is mounted by itself, as in a container, and cannot be replaced in one step: "
            "names are not kept there"
        )
    label = _label()
    write_atomic(HOSTS, after, mode)
    if label is not None and label != _label():
        with contextlib.suppress(OSError):
            os.setxattr(HOSTS, LABEL_XATTR, label)


def _label() -> bytes | None:
    """The file's label of SELinux, which a new file may not get."""
    try:
        return os.getxattr(HOSTS, LABEL_XATTR)
    except OSError:
        return None
