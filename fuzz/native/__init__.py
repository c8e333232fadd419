"""The targets in C: which files each is made of, and how it is built."""

from pathlib import Path

PROGRAMS: dict[str, tuple[str, ...]] = {}


def built(name: str) -> Path:
    """The program, newly built where it is older than what it is made of."""
    raise NotImplementedError
