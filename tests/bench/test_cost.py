"""What the programs of a tunnel and the kernel beside them have used, from what /proc tells."""

import os
import time
from pathlib import Path

import pytest

from bench import cost
from bench.cost import KERNEL_THREAD, TICKS_PER_S, Used, busy_s, cpu_s, processes_s


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return tmp_path


def put(proc: Path, pid: int, flags: int, *ticks: int, name: str = "a program") -> None:
    directory = proc / str(pid)
    directory.mkdir()
    fields = ["S", *["1"] * 5, str(flags), *["0"] * 4, *map(str, ticks), *["0"] * 30]
    directory.joinpath("stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")


def test_processes_are_all_but_kernel_threads(proc: Path) -> None:
    put(proc, 10, 0x400000, 100, 20, 3, 4)
    put(proc, 11, 0x400100, 1000, 0, 0, 0, name="odd) (one")
    put(proc, 12, KERNEL_THREAD | 0x40, 5000, 5000, 0, 0)
    proc.joinpath("self").mkdir()
    proc.joinpath("13").mkdir()  # has ended while its directory was looked up
    assert processes_s(proc) == pytest.approx(1127 / TICKS_PER_S)


def test_busy_is_all_time_but_rest_and_what_a_hypervisor_took(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hz = TICKS_PER_S
    line = f"1 2 3 {100 * hz} {10 * hz} 4 5 {2 * hz} 0 0"
    proc.joinpath("stat").write_text(f"cpu  {line}\ncpu0 {line}\ncpu1 {line}\nintr 12345 0 0\n")
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    assert busy_s(proc) == 2 * 1000 - 100 - 10 - 2


def test_this_process_itself_is_measured() -> None:
    before_s = cpu_s(os.getpid())
    while time.process_time() < before_s + 3 / TICKS_PER_S:
        pass
    assert before_s < cpu_s(os.getpid())


def test_a_meter_tells_the_ends_the_traffic_and_the_kernel_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    used_s = {1: 1.0, 2: 2.0, 3: 0.5, 9: 0.25}
    monkeypatch.setattr(cost, "cpu_s", used_s.__getitem__)
    monkeypatch.setattr(cost, "busy_s", lambda: 10.0)
    monkeypatch.setattr(cost, "processes_s", lambda: 7.0)
    monkeypatch.setattr(os, "times", lambda: os.times_result((50, 60, 0.5, 0.25, 0)))
    read = cost.Meter([1, 3], [2], [9]).read()
    assert read == Used(1.5, 2.0, 3.0, 1.0)
    assert read.tunnel_s == 6.5
    assert read - Used(1.0, 1.0, 1.0, 1.0) == Used(0.5, 1.0, 2.0, 0.0)
