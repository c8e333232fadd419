"""Tell what is done, step by step, each with PASS or FAIL and the seconds it took."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .machine import DemoError, Machine

TOX_ID = re.compile(r"\b[0-9A-F]{76}\b")
COLOURS = {"PASS": 32, "FAIL": 31, "SKIP": 33}


class Step:
    """What a step found out is said behind it: `found`."""

    found = ""


def verdict(word: str) -> str:
    return f"\x1b[{COLOURS[word]}m{word}\x1b[0m" if sys.stdout.isatty() else word


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def show(machine: Machine, command: str) -> None:
    """A command as a person would type it there, its Tox IDs cut."""
    shortened = TOX_ID.sub(lambda found: f"{found[0][:8]}…", command)
    say(f"      {machine.name}$ {shortened}")


@contextmanager
def step(what: str) -> Iterator[Step]:
    began_s = time.monotonic()
    told = Step()
    try:
        yield told
    except DemoError:
        say(f"{verdict('FAIL')}  {what} ({time.monotonic() - began_s:.1f} s)")
        raise
    found = f": {told.found}" if told.found else ""
    say(f"{verdict('PASS')}  {what} ({time.monotonic() - began_s:.1f} s){found}")


def check(condition: bool, otherwise: str) -> None:
    if not condition:
        raise DemoError(otherwise)
