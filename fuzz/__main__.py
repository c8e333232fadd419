"""`scripts/fuzz`: runs targets, and tells what each gave."""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from . import corpus, native
from .run import WORK, Outcome, options, run
from .targets import TARGETS


def parse(words: Sequence[str], known: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="which (default: all)")
    parser.add_argument("--minutes", type=float, default=5.0, metavar="N", help="for so long altogether (5)")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="instead, so many inputs for each")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same inputs each time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="so many at once")
    parser.add_argument("--plain", action="store_true", help="Python with the usual build: no memory checks")
    parser.add_argument("--keep", action="store_true", help="put inputs that reach more into fuzz/corpus")
    parser.add_argument("--list", action="store_true", help="name the targets, and end")
    arguments = parser.parse_args(words)
    unknown = sorted(set(arguments.targets) - set(known))
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}; --list names them")
    return arguments


def batches(names: Sequence[str], jobs: int) -> list[list[str]]:
    """What is run by one process each: a process in Python takes seconds to start, so it has many targets."""
    programs = [[name] for name in names if name in native.PROGRAMS]
    python = [name for name in names if name not in native.PROGRAMS]
    return [*filter(None, (python[each::jobs] for each in range(jobs))), *programs]


def show(outcomes: Sequence[Outcome]) -> None:
    print(f"{'target':<20} {'inputs':>10} {'branches':>8}")
    for each in outcomes:
        found = f"  FOUND (exit code {each.code}): {WORK}/{each.name}.log" if each.code else ""
        print(f"{each.name:<20} {each.inputs:>10} {each.branches:>8}{found}")


def main() -> int:
    known = [*TARGETS, *native.PROGRAMS]
    arguments = parse(sys.argv[1:], known)
    if arguments.list:
        print("\n".join(known))
        return 0
    names = arguments.targets or known
    seconds = max(1, round(arguments.minutes * 60 * arguments.jobs / len(names)))
    limits = options(seconds=0 if arguments.runs else seconds, runs=arguments.runs, seed=arguments.seed)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        tasks = [
            pool.submit(run, batch, limits, plain=arguments.plain) for batch in batches(names, arguments.jobs)
        ]
        outcomes = list(chain.from_iterable(task.result() for task in tasks))
    show(outcomes)
    for name in names if arguments.keep else ():
        print(f"{name}: {corpus.pack(name, WORK / name)} inputs are kept")
    return 1 if any(each.code for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
