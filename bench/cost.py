"""Processor time: of chosen processes, and of all that a tunnel costs its machine.

What a program costs is its utime and stime, and its children's. That includes what the kernel does in its
name: who writes a packet into a veth or a TUN also pays for its reception, up to the other side's socket or
queue. The rest is the kernel's own: what the processors were busy with beyond all processes of the machine.
That is kernel threads, in which a VPN of the kernel works, and interrupts that found a processor idle. It
cannot be told whose end they served, nor, on a machine that does other work, for whom.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KERNEL_THREAD = 0x0020_0000  # PF_KTHREAD among the flags in proc_pid_stat(5)


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of processor time: of the programs at each end, of the kernel beside them, of the traffic's."""

    near_s: float
    far_s: float
    kernel_s: float
    traffic_s: float

    @property
    def tunnel_s(self) -> float:
        return self.near_s + self.far_s + self.kernel_s

    def __sub__(self, earlier: "Used") -> "Used":
        return Used(
            self.near_s - earlier.near_s,
            self.far_s - earlier.far_s,
            self.kernel_s - earlier.kernel_s,
            self.traffic_s - earlier.traffic_s,
        )


@dataclass(frozen=True, slots=True)
class Meter:
    """The processes of a tunnel's ends, and those that make the traffic; this process's children do too."""

    near: Sequence[int]
    far: Sequence[int]
    traffic: Sequence[int]

    def read(self) -> Used:
        """What was used so far; only differences mean something."""
        own = os.times()
        return Used(
            sum(map(cpu_s, self.near)),
            sum(map(cpu_s, self.far)),
            busy_s() - processes_s(),
            sum(map(cpu_s, self.traffic)) + own.children_user + own.children_system,
        )


def cpu_s(pid: int) -> float:
    """Processor time (utime and stime) of the process and its living children."""
    return sum(_Stat.of(PROC / str(member)).own_s for member in family(pid))


def family(pid: int) -> list[int]:
    """The process and its living descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


def busy_s(proc: Path = PROC) -> float:
    """Seconds in which processors were not idle nor taken away by a hypervisor, of all of them together.

    Taken from the time of rest, which the kernel knows exactly; it only samples the kinds of work.
    """
    lines = proc.joinpath("stat").read_text().splitlines()
    now_s = time.monotonic()
    every, *each = (line.split() for line in lines if line.startswith("cpu"))
    idle, waiting, stolen = (int(every[1 + column]) for column in (3, 4, 7))
    return now_s * len(each) - (idle + waiting + stolen) / TICKS_PER_S


def processes_s(proc: Path = PROC) -> float:
    """Processor time of all processes, and of those that have ended and were waited for."""
    return sum(each.all_s for each in _stats(proc) if not each.flags & KERNEL_THREAD)


@dataclass(frozen=True, slots=True)
class _Stat:
    """What is needed of proc_pid_stat(5)."""

    flags: int
    own_s: float
    all_s: float

    @classmethod
    def of(cls, directory: Path) -> "_Stat":
        fields = directory.joinpath("stat").read_text().rpartition(")")[2].split()
        utime, stime, children_utime, children_stime = map(int, fields[11:15])
        own = utime + stime
        return cls(int(fields[6]), own / TICKS_PER_S, (own + children_utime + children_stime) / TICKS_PER_S)


def _stats(proc: Path) -> Iterator[_Stat]:
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                yield _Stat.of(entry)
            except OSError:  # it has ended
                continue
