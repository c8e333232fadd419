"""The command line of the soak, and its report."""

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from lab import Lab

from ..harness import arguments, progress, spread, table
from . import __doc__ as description
from . import health
from .rounds import Soak

THREADS = 32
"""Commands that run at the same time."""


async def soak(lab: Lab, *, seed: int, rounds: range, seconds: float, until_s: float) -> Soak:
    """Rounds of so many seconds of faults each; none begins after `until_s`."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    soak = Soak(lab, seed)
    await soak.start()
    for number in rounds:
        if time.monotonic() > until_s:
            break
        await soak.round(number, seconds)
        progress(f"round {number} has ended: {len(soak.findings.problems)} problems so far")
    await soak.close()
    return soak


def report(soak: Soak) -> bool:
    """Prints what was carried, what was held and every problem. Returns whether there was none."""
    findings = soak.findings
    rows = [
        [what, outcome, str(count), f"{findings.bytes[what] / 1e6:.1f}"]
        for (what, outcome), count in sorted(findings.outcomes.items())
    ]
    table("What was carried", ["", "how it ended", "times", "MB of all"], rows)
    rows = []
    for name, samples in soak.samples.items():
        first, last = samples[0], samples[-1]
        for key, held in last.processes.items():
            if (before := first.processes.get(key)) is not None:
                pair = (
                    (before.total, held.total),
                    (before.threads, held.threads),
                    (before.memory_kb, held.memory_kb),
                )
                rows.append([f"{name}: {held.what}", *(f"{a} {b}" for a, b in pair)])
        rows.append(
            [
                f"{name}: namespaces, tasks",
                f"{first.namespaces} {last.namespaces}",
                f"{first.tasks} {last.tasks}",
                "",
            ]
        )
        findings.problems += [f"{name}: memory grows: {each}" for each in health.growth(samples)]
    table("What was held at rest, at first and at last", ["", "descriptors", "threads", "private kB"], rows)
    if findings.back_s:
        print(f"\nA way worked again {spread(findings.back_s)} s after the last fault of a round.")
    for problem in findings.problems:
        print(f"PROBLEM {problem}")
    print(f"{len(findings.problems)} problems")
    return not findings.problems


def main() -> None:
    given = arguments(description, minutes=60.0, seed=1, first=1, rounds=10_000, seconds=60.0)
    until_s = time.monotonic() + given.minutes * 60
    with Lab() as lab:
        lab.bootstrap()
        rounds = range(given.first, given.first + given.rounds)
        done = asyncio.run(soak(lab, seed=given.seed, rounds=rounds, seconds=given.seconds, until_s=until_s))
        fine = report(done)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
