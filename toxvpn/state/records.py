"""Records of ours with many entries: a damaged entry is left out and told of, the others count.

In: a file, and how to decode it. Out: what is good of it. Nobody is let in, or kept out, by an entry that
cannot be read, and a service does not stay down for it. What was left out is kept in a copy, NAME.bad.
Neighbours: files.py reads and writes; peers.py, friends.py and invites.py say what an entry is.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import ToxvpnError
from .files import DAMAGE, read_private, read_record, write_atomic

log = logging.getLogger("toxvpn.files")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")

LeftOut = list[str]
"""A line for each entry that is damaged: which, and why."""


class Decode(Protocol[T_co]):
    """Raises one of DAMAGE when no entry can be found."""

    def __call__(self, data: bytes, left_out: LeftOut) -> T_co: ...


def read_entries(path: Path, decode: Decode[T], empty: T, consequence: str) -> T:
    """What is good of the file; `empty` when there is none, or it is damaged as a whole (read_record).

    Raises NoPermissionError or ToxvpnError when the file is there and cannot be read.
    """
    left_out: LeftOut = []
    found = read_record(path, partial(decode, left_out=left_out), empty, consequence)
    if left_out:
        aside = path.with_name(f"{path.name}.bad")
        for line in left_out:
            log.warning("%s: %s; it is left out, and kept in %s", path, line, aside)
        with contextlib.suppress(ToxvpnError):  # a full disk
            data = read_private(path)
            if data is not None and data != read_private(aside):
                write_atomic(aside, data)
    return found


def put_each(raws: Iterable[tuple[str, R]], put: Callable[[R], object], left_out: LeftOut) -> None:
    """Gives each (what it is, raw entry) to `put`, and notes which of them it cannot take."""
    for what, raw in raws:
        try:
            put(raw)
        except (*DAMAGE, ToxvpnError) as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
            left_out.append(f"the entry of {what} is damaged ({reason})")


def named(raw: Any, *keys: str) -> str:
    """What an entry is told of as: the first text that it has under one of `keys`."""
    texts = [raw.get(key) for key in keys] if isinstance(raw, dict) else []
    return next((repr(text[:16]) for text in texts if isinstance(text, str)), "nobody")
