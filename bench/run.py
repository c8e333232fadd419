"""Runs all benches, one after the other, and writes what they print into one file, such as bench/results.md.

Those that fail do not stop the others, and are named at the end. `--only "vpn idle"` runs these again and
leaves in the file what it has of the others.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from .harness import ROOT, arguments, module, progress, table
from .recorded import blocks

HEAD = """# Results

What `bench.run` printed. Every block begins with its command, the date, the machine and the revision. Only
figures of one block can be compared: the ratios are what counts, the absolute figures are the machine's.
"""
BENCHES: Mapping[str, tuple[str, str]] = {
    "vpn": ("--runs 2 --seconds 2 --pings 20", "--runs 1 --seconds 1 --pings 10"),
    "raw_lossy": ("--runs 3", "--runs 1"),
    "datapath": ("", "--runs 10"),
    "connect": ("--runs 5", "--runs 1"),
    "share": ("--runs 5", "--runs 1"),
    "forward": (
        "--scene direct --runs 1 --trips 60 --seconds 4",
        "--scene direct --runs 1 --trips 20 --seconds 1",
    ),
    "relays": ("--runs 1 --seconds 3 --trips 40", "--runs 1 --seconds 2 --lossless 2 --trips 20"),
    "friend": ("--runs 3 --seconds 3", "--runs 1 --seconds 1 --pings 10"),
    "roads": (
        "--only 'vpn plain 1%' --limit 10 --trips 100",
        "--only 'vpn plain' --limit 3 --trips 20",
    ),
    "idle": ("--seconds 40", "--seconds 5"),
    "beside": ("--runs 2 --pings 40 --seconds 2", "--runs 1 --pings 20 --seconds 1"),
    "bloat": ("--seconds 7", "--rates 20 --seconds 3"),
    "files": ("--runs 2 --megabytes 500", "--runs 1 --megabytes 100"),
    "filter": ("--runs 3", "--runs 1 --seconds 1"),
    "sites": ("--runs 2 --seconds 2", "--runs 1 --seconds 1"),
    "exit": ("--runs 2 --seconds 2", "--runs 1 --seconds 1"),
    "rootless": ("--runs 2 --seconds 2", "--runs 1 --seconds 1"),
    "user_router": ("--runs 2 --seconds 2", "--runs 1 --seconds 1"),
    "remote": ("--runs 3 --seconds 2", "--runs 1 --seconds 1"),
    "speed": ("--runs 1 --seconds 4 --only 'fast beside'", "--runs 1 --seconds 2 --only fast"),
    "datagrams": ("--runs 1 --seconds 2 --game 4", "--runs 1 --seconds 1 --game 2 --only game"),
    "outlive": (
        "--traffic fast --only 'both|client moves' --asleep 15 --watch 3",
        "--traffic fast --only 'client asleep' --asleep 5 --watch 2",
    ),
    "faults": (
        "--traffic fast --scene public --only 'both|client moves' --runs 3 --lasts 10 --watch 3",
        "--traffic fast --scene public --only 'client asleep' --runs 1 --lasts 5 --watch 2",
    ),
    "crowd": ("--seconds 20", "--clients 5 --streams 100 --seconds 2"),
    "malice": ("--seconds 2", "--seconds 1 --only 'small garbage,status'"),
}
"""Each with its arguments, those of a quick run last."""


def run(name: str, words: str) -> str | None:
    """What the bench printed, which is shown meanwhile; None when it failed."""
    printed = ""
    argv = module(name, *shlex.split(words))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            printed += line
    return None if process.returncode else printed


def page(found: Mapping[str, str]) -> str:
    """`found`: what each bench printed. In the order of BENCHES, then any others."""
    order = [*(name for name in BENCHES if name in found), *(name for name in found if name not in BENCHES)]
    return HEAD + "".join(f"\n## {name}\n\n{indented(found[name])}" for name in order)


def indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.strip("\n").splitlines())


def chosen(only: str) -> list[str]:
    """Raises SystemExit."""
    wanted = only.replace(",", " ").split()
    if unknown := set(wanted) - set(BENCHES):
        sys.exit(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    return [name for name in BENCHES if name in wanted or not wanted]


def main() -> None:
    given = arguments(__doc__, file=str(ROOT / "build" / "results.md"), only="", quick=0)
    names = chosen(given.only)
    path = Path(given.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = blocks(path.read_text()) if given.only and path.exists() else {}
    took_s: dict[str, float] = {}
    failed = []
    for name in names:
        progress(name)
        print(flush=True)
        began_s = time.monotonic()
        printed = run(name, BENCHES[name][bool(given.quick)])
        took_s[name] = time.monotonic() - began_s
        if printed is None:
            failed.append(name)
            continue
        found[name] = printed
        path.write_text(page(found))
    rows = [[name, f"{seconds / 60:.1f}"] for name, seconds in took_s.items()]
    table("Minutes", ["", "took"], [*rows, ["all", f"{sum(took_s.values()) / 60:.1f}"]])
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
