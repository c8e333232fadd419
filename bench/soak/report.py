"""What a soak has carried, what its programs held, and every problem, for a person."""

from collections.abc import Iterator

from ..harness import spread, table
from . import health
from .rounds import Soak


def report(soak: Soak) -> bool:
    """Prints it. Returns whether there was no problem."""
    findings = soak.findings
    for name, samples in soak.samples.items():
        findings.problems += [f"{name}: memory grows: {each}" for each in health.growth(samples)]
    carried = [
        [what, outcome, str(count), f"{findings.bytes[what] / 1e6:.1f}"]
        for (what, outcome), count in sorted(findings.outcomes.items())
    ]
    table("What was carried", ["", "how it ended", "times", "MB of all"], carried)
    header = ["", "descriptors", "threads", "private kB"]
    table("What was held at rest, at first and at last", header, [*_held(soak)])
    print("\nFaults: " + ", ".join(f"{count} x {name}" for name, count in findings.faults.most_common()))
    if findings.back_s:
        print(f"A way worked again {spread(findings.back_s)} s after the last fault of a round.")
    for problem in findings.problems:
        print(f"PROBLEM {problem}")
    print(f"{len(findings.problems)} problems")
    return not findings.problems


def _held(soak: Soak) -> Iterator[list[str]]:
    """A row for each process that has lived all the time, and one for what a machine has of other things."""
    for name, samples in soak.samples.items():
        first, last = samples[0], samples[-1]
        for key, held in last.processes.items():
            if (before := first.processes.get(key)) is not None:
                yield [
                    f"{name}: {held.what}",
                    f"{before.total} {held.total}",
                    f"{before.threads} {held.threads}",
                    f"{before.memory_kb} {held.memory_kb}",
                ]
        spaces, tasks = f"{first.namespaces} {last.namespaces}", f"{first.tasks} {last.tasks}"
        yield [f"{name}: network namespaces {spaces}; tasks {tasks}", "", "", ""]
