"""What the programs of a machine hold while nothing goes on, and what of that is too much.

Every program of the lab leads a session of its own, and its helpers stay in it, even when it was killed.
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..cost import TICKS_PER_S

DESCRIPTORS_MORE = 8
"""toxcore has connections to a varying number of relays."""
GROWTH_KB = 8 * 1024
GROWTH_SHARE = 0.25
IDLE_CPU = 0.1
STATES = {"01": "established", "02": "connecting", "06": "time-wait", "08": "close-wait", "0A": "listening"}


@dataclass(frozen=True, slots=True)
class Held:
    """By one process."""

    what: str
    descriptors: Mapping[str, int]
    threads: int
    memory_kb: int
    cpu_s: float

    @property
    def total(self) -> int:
        return sum(self.descriptors.values())


Key = tuple[int, int]
"""A process: its number and when it started."""


@dataclass(frozen=True, slots=True)
class Sample:
    """`namespaces`: network namespaces of its processes; `tasks`: of the run's event loop."""

    processes: Mapping[Key, Held] = field(default_factory=dict)
    namespaces: int = 0
    tasks: int = 0

    @property
    def kinds(self) -> Counter[str]:
        return Counter(held.what for held in self.processes.values())


def sample(sessions: Collection[int], tasks: int = 0, proc: Path = Path("/proc")) -> Sample:
    """Of the processes of these sessions."""
    processes: dict[Key, Held] = {}
    namespaces = set()
    for folder in proc.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            fields = folder.joinpath("stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) not in sessions:
                continue
            namespace = folder.joinpath("ns/net").stat()
            held = _held(folder, fields)
        except OSError:  # it has ended
            continue
        namespaces.add((namespace.st_dev, namespace.st_ino))
        processes[int(folder.name), int(fields[19])] = held
    return Sample(processes, len(namespaces), tasks)


def _held(folder: Path, fields: list[str]) -> Held:
    words = folder.joinpath("cmdline").read_bytes().decode().split("\0")
    rollup = folder.joinpath("smaps_rollup").read_text()
    private = sum(int(kb) for kb in re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.M))
    return Held(
        what=_what(words),
        descriptors=_descriptors(folder),
        threads=int(fields[17]),
        memory_kb=private,
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_S,
    )


def _what(words: list[str]) -> str:
    """The beginning of a command line, or the module that a helper runs."""
    helper = re.search(r"from (\S+) import (\w+)", " ".join(words))
    if helper:
        return f"{helper[1]}.{helper[2]}"
    return " ".join(Path(word).name for word in words[:4] if word and not word.startswith("-"))


def _descriptors(folder: Path) -> Counter[str]:
    """By kind; a socket of the process's own network by its protocol, state and the port of the other end."""
    sockets = {}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in folder.joinpath("net", table).read_text().splitlines()[1:]:
            _, _, remote, state, *rest = line.split()
            sockets[rest[5]] = f"{table[:3]} {STATES.get(state, state)} {int(remote.rpartition(':')[2], 16)}"
    kinds: Counter[str] = Counter()
    for link in folder.joinpath("fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            what = str(link.readlink())
            inode = re.fullmatch(r"socket:\[(\d+)\]", what)
            kinds[sockets.get(inode[1], "socket") if inode else re.sub(r":\[\d+\]$", "", what)] += 1
    return kinds


def leaks(first: Sample, now: Sample) -> list[str]:
    """What there is more of than in an earlier sample of the same machine; memory is another matter."""
    found = []
    for kind, more in (now.kinds - first.kinds).items():
        found.append(f"{more} more of the process {kind!r}")
    for kind, fewer in (first.kinds - now.kinds).items():
        found.append(f"{fewer} fewer of the process {kind!r}")
    if now.namespaces > first.namespaces:
        found.append(f"{now.namespaces} network namespaces, {first.namespaces} before")
    if now.tasks > first.tasks:
        found.append(f"{now.tasks} tasks, {first.tasks} before")
    for key, held in now.processes.items():
        before = first.processes.get(key)
        if before is None:
            continue
        if held.total > before.total + DESCRIPTORS_MORE:
            others = Counter(held.descriptors) - Counter(before.descriptors)
            found.append(
                f"{held.what}: {held.total} descriptors, {before.total} before; more of {dict(others)}"
            )
        if held.threads > before.threads:
            found.append(f"{held.what}: {held.threads} threads, {before.threads} before")
    return found


def busy(before: Sample, now: Sample, seconds: float) -> list[str]:
    """Processes that worked between two samples, though nothing went on."""
    found = []
    for key, held in now.processes.items():
        if (earlier := before.processes.get(key)) is not None:
            share = (held.cpu_s - earlier.cpu_s) / seconds
            if share > IDLE_CPU:
                found.append(f"{held.what}: {share:.0%} of a processor while nothing goes on")
    return found


def growth(samples: list[Sample]) -> list[str]:
    """Processes whose private memory at the end is more than it was after a third of these samples."""
    if len(samples) < 3:
        return []
    found = []
    for key, last in samples[-1].processes.items():
        earlier = samples[len(samples) // 3].processes.get(key)
        if earlier and last.memory_kb > earlier.memory_kb * (1 + GROWTH_SHARE) + GROWTH_KB:
            found.append(f"{last.what}: {last.memory_kb} kB, {earlier.memory_kb} kB before")
    return found
