"""A machine asleep, as far as its programs can tell: they are stopped, and go on later.

Other faults are in cable.py (cut, UDP blocked) and world.py (other addresses, another network).
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path


def freeze(*processes: "subprocess.Popen[bytes]") -> None:
    """SIGSTOP to each process and all its descendants. CLOCK_MONOTONIC goes on, unlike in a real sleep."""
    _signal(processes, signal.SIGSTOP)


def thaw(*processes: "subprocess.Popen[bytes]") -> None:
    _signal(processes, signal.SIGCONT)


def _signal(processes: "tuple[subprocess.Popen[bytes], ...]", number: signal.Signals) -> None:
    for process in processes:
        for pid in _tree(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _tree(pid: int) -> Iterator[int]:
    """The process and its descendants, parents first, so that a stopped one has no new ones."""
    yield pid
    with contextlib.suppress(OSError):  # it has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in task.joinpath("children").read_text().split():
                yield from _tree(int(child))
