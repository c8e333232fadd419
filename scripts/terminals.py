"""Terminals on hosts of the lab, one below the other, and what they show as it changes.

Each is a real bash on a pseudo-terminal. In: what a person would type. Out: frames, each the whole picture at
a time. Neighbours: record.py says what is typed, castsvg.py writes the frames.
"""

import contextlib
import fcntl
import os
import pty
import random
import re
import select
import struct
import termios
import time
from dataclasses import replace
from pathlib import Path

import pyte

from lab import Host

from .castsvg import Frame, Line, Run

KEYSTROKE_S = (0.02, 0.09)
SETTLE_S = 0.04  # what comes within this time is one picture
USER = "nobody"


class Terminal:
    """A shell of an ordinary user on a host, with a home of its own there, under a bar with its title."""

    def __init__(self, host: Host, title: str, home: Path, rows: int, columns: int) -> None:
        self.title = title
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.said = ""
        self.descriptor, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        shell = ["setsid", "--ctty", "--wait", "bash", "--rcfile", str(home / "bashrc"), "-i"]
        environment = [f"HOME={home}", "TERM=linux", "LANG=C.UTF-8", f"PS1={host.name}$ "]
        argv = ["env", "-u", "XDG_RUNTIME_DIR", *environment, *shell]
        host.popen(argv, user=USER, cwd=home, stdin=inner, stdout=inner, stderr=inner)
        os.close(inner)

    def feed(self, data: bytes) -> None:
        self._stream.feed(data)
        self.said += data.decode(errors="replace")

    def lines(self) -> list[Line]:
        bar = Run(0, f"─── {self.title} ".ljust(self.screen.columns, "─"), "bar")
        return [(bar,), *(self._line(row) for row in range(self.screen.lines))]

    def _line(self, row: int) -> Line:
        cells = self.screen.buffer[row]
        runs: list[Run] = []
        for column in range(self.screen.columns):
            cell = cells[column]
            last = runs[-1] if runs else None
            if last and (last.colour, last.bold) == (cell.fg, cell.bold):
                runs[-1] = Run(last.column, last.text + cell.data, cell.fg, cell.bold)
            else:
                runs.append(Run(column, cell.data, cell.fg, cell.bold))
        return tuple(replace(run, text=run.text.rstrip()) for run in runs if run.text.strip())


class Stage:
    """The terminals together, and the frames so far."""

    def __init__(self, terminals: list[Terminal]) -> None:
        self._terminals = {each.descriptor: each for each in terminals}
        self._began = time.monotonic()
        self.frames: list[Frame] = []

    def look(self, for_s: float) -> None:
        """Let that time pass, and take a picture of all that changes."""
        until = time.monotonic() + for_s
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select(self._terminals, (), (), min(left, SETTLE_S))
            for descriptor in ready:
                with contextlib.suppress(OSError):  # the shell has ended
                    self._terminals[descriptor].feed(os.read(descriptor, 65536))
            self._take()

    def _take(self) -> None:
        lines = tuple(line for each in self._terminals.values() for line in each.lines())
        now = time.monotonic() - self._began
        if self.frames and (self.frames[-1].lines == lines or now - self.frames[-1].at_s < SETTLE_S):
            return
        self.frames.append(Frame(now, lines))

    def wait(self, terminal: Terminal, pattern: str, timeout_s: float = 60.0) -> re.Match[str]:
        """Wait until the terminal says this, since what was typed there last."""
        deadline = time.monotonic() + timeout_s
        while not (found := re.search(pattern, terminal.said)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {pattern!r} in {terminal.said!r}")
            self.look(SETTLE_S)
        return found

    def type(self, terminal: Terminal, command: str, *, paste: bool = False) -> None:
        """Type a command as a person does, and Enter."""
        for piece in [command] if paste else command:
            os.write(terminal.descriptor, piece.encode())
            self.look(random.uniform(*KEYSTROKE_S))
        self.look(0.4)
        terminal.said = ""
        os.write(terminal.descriptor, b"\n")
