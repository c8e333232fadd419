"""Environments, medians, tables and the command line, shared by all benches.

A bench is a program run as root from the repository: `.venv/bin/python -m bench.NAME`. It measures two
things by turns (A B A B) in one run, because figures of different runs are not comparable.
"""

import argparse
import contextlib
import datetime
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab import Host, apps
from toxvpn import __version__
from toxvpn._native import toxcore

ROOT = Path(__file__).parent.parent
Environment = Mapping[str, str]

TOXVPN = str(Path(sys.executable).with_name("toxvpn"))
OURS: Environment = {}
STOCK: Environment = {
    "TOXVPN_SOCKETS": "off",
    "TOXVPN_CLOCK": "off",
    "TOXVPN_PAGE_LOCK": "strict",
    "TOXVPN_SCRATCH": "off",
    "TOXVPN_CRYPTO": "off",
    "TOXVPN_REUNION": "off",
    "TOXVPN_DETOUR": "off",
}
"""libtoxcore as it comes: no part of toxvpn/_native/net/netio.pyx is in force."""

ONLINE_S = 90.0
LOCALHOST = "127.0.0.1"
GIVER_PORT = 9000


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keep the processors from sleeping meanwhile, by work of the lowest priority.

    A virtual processor that has slept takes 0.05 ms to wake, and finds its caches full of others' data:
    what it costs programs to wake each other is mostly that.
    """
    spin = ["chrt", "--idle", "0", "sh", "-c", "while :; do :; done"]
    spinners = [subprocess.Popen(spin) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


# -- figures -------------------------------------------------------------------------------------------


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """The median, and the least and the greatest of several."""
    text = format(median(values), form)
    if len(values) > 1:
        text += f" ({min(values):{form}}-{max(values):{form}})"
    return text


def ratio(ours: Sequence[float], other: Sequence[float]) -> str:
    """The ratio of the medians."""
    below = median(other)
    return f"{median(ours) / below:.2f}x" if below else "-"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are figures."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    print(f"\n{title}")
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        print("  " + "  ".join(cells).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    sys.stdout.flush()


def progress(text: str) -> None:
    """Print on stderr what is being done, and when."""
    print(f"  {time.strftime('%H:%M:%S')} .. {text}", file=sys.stderr, flush=True)


# -- programs ------------------------------------------------------------------------------------------


def arguments(description: str | None, **defaults: float | str) -> argparse.Namespace:
    """The command line of a bench: `--NAME VALUE` for each of `defaults`.

    Ends the program unless it runs as root. Prints on what machine the figures were taken.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"default {default!r}")
    given = parser.parse_args()
    if os.geteuid() != 0:
        parser.exit(1, "the benches make network namespaces and need root\n")
    print(f"{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:])}".rstrip(), machine(), sep="\n", flush=True)
    return given


def module(name: str, *arguments: object) -> list[str]:
    """The argv of a program of this package, `bench/NAME.py`."""
    return [sys.executable, "-m", f"{__package__}.{name}", *map(str, arguments)]


def start_giver(host: Host) -> None:
    """Start giver.py, which listens on GIVER_PORT when this returns."""
    apps.wait_listening(host.popen(module("giver", LOCALHOST, GIVER_PORT)), GIVER_PORT)


def machine() -> str:
    """The date, processors, kernel and versions that the figures are from."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    revision = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"{today}; {os.cpu_count()} x {cpu[1] if cpu else platform.machine()}; Linux {platform.release()}; "
        f"Python {platform.python_version()}; libtoxcore {toxcore.version()}; "
        f"toxvpn {__version__} {revision}; load {os.getloadavg()[0]:.1f}"
    )
