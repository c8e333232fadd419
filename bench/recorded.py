"""Reads the figures that benches have printed and results.md keeps; run alone, it prints them as JSON.

A run is the bench's command line, the machine, and tables; a cell is text, as printed, or its median.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")
COMMAND = re.compile(r"    (?P<bench>\w+)\.py\b.*")
GAP = re.compile(r"\s{2,}")
FIGURE = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Table:
    title: str
    header: tuple[str, ...]
    """Of the columns of figures."""
    rows: dict[str, tuple[str, ...]]

    def figure(self, row: str, column: str) -> float:
        """The median in that cell."""
        return median(self.rows[row][self.header.index(column)])


@dataclass(frozen=True)
class Run:
    bench: str
    command: str
    machine: str
    notes: str
    """Lines before the first table."""
    tables: tuple[Table, ...]

    @property
    def date(self) -> str:
        return self.machine[: len("2026-01-01")]

    def table(self, title: str) -> Table:
        """The first table whose title begins so."""
        return next(table for table in self.tables if table.title.startswith(title))


def median(cell: str) -> float:
    """Of a cell such as "2438 (2324-2480)" or "0.54 / 2.08"."""
    found = FIGURE.match(cell)
    if not found:
        raise ValueError(f"{cell!r} does not begin with a figure")
    return float(found[0])


def runs(text: str | None = None) -> list[Run]:
    """All of results.md, in its order; the last of a bench is the newest."""
    found = []
    for bench, printed in _printed(RESULTS.read_text() if text is None else text):
        command, machine, *body = printed.splitlines()
        notes = "\n".join(takewhile(str.strip, body))
        found.append(Run(bench, command, machine, notes, tuple(_tables(body))))
    return found


def blocks(text: str) -> dict[str, str]:
    """What each bench has printed: the last of each."""
    return dict(_printed(text))


def latest(bench: str, title: str) -> tuple[Run, Table]:
    """The newest run of a bench that has this table."""
    for run in reversed(runs()):
        for table in run.tables:
            if run.bench == bench and table.title.startswith(title):
                return run, table
    raise LookupError(f"results.md has no table {title!r} of {bench}.py")


def _printed(text: str) -> Iterator[tuple[str, str]]:
    """The benches, and what they printed: from the command to the end of what is indented."""
    lines = text.splitlines()
    for number, line in enumerate(lines[:-1]):
        command = COMMAND.fullmatch(line)
        if command and re.match(r"    20\d\d-", lines[number + 1]):
            rest = takewhile(lambda each: COMMAND.fullmatch(each) is None, lines[number + 1 :])
            indented = takewhile(lambda each: not each or each.startswith("    "), rest)
            yield command["bench"], "\n".join([line[4:], *(each[4:] for each in indented)]).rstrip("\n")


def _tables(lines: list[str]) -> Iterator[Table]:
    """Tables as harness.table prints them: title, header, rule, rows."""
    for number, line in enumerate(lines):
        if re.fullmatch(r"  [- ]*--[- ]*", line):
            width = len(line.split()[0])
            rows = {}
            for row in lines[number + 1 :]:
                if not row.startswith("  "):
                    break
                rows[row[2 : 2 + width].strip()] = tuple(GAP.split(row[2 + width :].strip()))
            header = GAP.split(lines[number - 1][2 + width :].strip())
            yield Table(lines[number - 2], tuple(header), rows)


if __name__ == "__main__":
    print(json.dumps([asdict(run) for run in runs()], indent=1, ensure_ascii=False))
