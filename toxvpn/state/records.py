"""Records of many entries in a file: a damaged entry is logged and left out, the others are used.

In: a file, and how to decode it. Out: its good entries. A damaged entry has no effect, and does not keep a
service from starting. The whole file is then copied to NAME.bad. Neighbours: files.py reads and writes;
members/ decodes the entries.
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

LATEST_S = 253_402_300_799
"""The end of the year 9999, after which Python has no dates."""
LeftOut = list[str]
"""One line for each damaged entry: which, and why."""


class Decode(Protocol[T_co]):
    """Raises one of DAMAGE when the file as a whole cannot be decoded."""

    def __call__(self, data: bytes, left_out: LeftOut) -> T_co: ...


def read_entries(path: Path, decode: Decode[T], empty: T, consequence: str) -> T:
    """The good entries of the file; `empty` when it is missing, or damaged as a whole (read_record).

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
    """Gives each raw entry to `put`, and notes the damaged ones by their names."""
    for what, raw in raws:
        try:
            put(raw)
        except (*DAMAGE, ToxvpnError) as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
            left_out.append(f"the entry of {what} is damaged ({reason})")


def moment(value: Any) -> float:
    """A time in an entry, in seconds since the epoch. Raises ValueError when it is none."""
    if type(value) not in (int, float) or not 0 <= value <= LATEST_S:  # NaN is not, either
        raise ValueError(f"{value!r:.20} is not a time")
    return float(value)


def named(raw: Any, *keys: str) -> str:
    """How to name an entry in the log: by the first text that it has under one of `keys`."""
    texts = [raw.get(key) for key in keys] if isinstance(raw, dict) else []
    return next((repr(text[:16]) for text in texts if isinstance(text, str)), "unnamed")
