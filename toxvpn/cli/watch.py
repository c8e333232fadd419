"""Shows a text anew every few seconds: in place on a terminal, one after the other elsewhere.

A terminal gets each frame in one write, over the last one and on its other screen, so that nothing flickers
and what was on it before comes back at the end. Sequences: ECMA-48, and xterm's private modes.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from .table import is_coloured

EVERY_S = 2.0
BEGIN = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The other screen, no cursor, long lines are cut."""
END = "\x1b[?7h\x1b[?25h\x1b[?1049l"
TOP, LINE_END, REST = "\x1b[H", "\x1b[K\r\n", "\x1b[J"


def watch(read: Callable[[bool], str]) -> None:
    """Shows what `read` returns, in colours if it is given True, until Ctrl-C or SIGTERM."""
    if not sys.stdout.isatty():
        with contextlib.suppress(BrokenPipeError):  # whoever read it has ended, as `head` does
            while True:
                write(read(False) + "\n\n")
                time.sleep(EVERY_S)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    with other_screen():
        while True:
            write(frame(read(is_coloured()), shutil.get_terminal_size().lines))
            time.sleep(EVERY_S)


def frame(text: str, height: int) -> str:
    """The bytes that replace what is on a screen of that many lines by the text, or as much as fits."""
    return TOP + LINE_END.join(text.splitlines()[: max(height, 1)]) + "\x1b[K" + REST


@contextlib.contextmanager
def other_screen() -> Iterator[None]:
    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        write(BEGIN)
        yield
    finally:
        write(END)
        signal.signal(signal.SIGTERM, before)


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
