"""Nothing of a lab stays behind, whatever happened to it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyroute2 import netns

from lab import Delay, Host, Lab, LabError, wait_until
from lab.cable import Cable
from lab.namespace import NETNS_DIRECTORY, Namespace
from lab.nat import Nat
from lab.registry import RECORDS

LIBRARY = Path(__file__).parent

ABANDONED = """
import signal
from lab import Delay, Host, Lab
with Lab() as lab:
    host = lab.nat("home").host("inner", delay=Delay(1))
    host.popen(["sleep", "1000"])
    host.popen(["unshare", "--net", "sleep", "1000"])
    print(lab.name, flush=True)
    signal.pause()
"""


def remains(lab: str) -> list[str]:
    """All that can be seen of a lab from outside of it."""
    found = [str(path) for path in NETNS_DIRECTORY.glob(f"{lab}*")]
    found += [str(path) for path in RECORDS.glob(f"*{lab}*")]
    found += [str(path) for path in Path("/tmp").glob(f"*{lab}*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TOXVPN_LAB={lab}".encode() in process.joinpath("environ").read_bytes():
                found.append(process.joinpath("cmdline").read_text())
        except OSError:
            continue
    return found


def running() -> set[int]:
    """All processes but the ended ones that their parents have not looked at yet."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            process.joinpath("exe").readlink()
        except OSError:
            continue
        found.add(int(process.name))
    return found


def running_in(host: Host) -> set[int]:
    return set(netns.ns_pids().get(host.namespace.name, [])) & running()


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def furnish(lab: Lab) -> None:
    """One of everything, with programs that try to stay."""
    far = lab.host("far", delay=Delay(1))
    inner = lab.nat("home").host("inner")
    far.loss(1)
    far.rate(100)
    inner.popen(["sleep", "1000"], stdout=subprocess.PIPE)
    inner.popen(["sh", "-c", "sleep 1000 & exec sleep 1000"])
    far.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & exit"])  # a daemon
    far.popen(["unshare", "--net", "sleep", "1000"])  # gone to a namespace of its own
    far.run(["sh", "-c", "env -i setsid sleep 1000 >/dev/null 2>&1 & exit"])  # has forgotten its mark


def test_a_lab_leaves_nothing_behind() -> None:
    before = interfaces()
    with Lab() as lab:
        furnish(lab)
        assert interfaces() == before
        assert len(remains(lab.name)) > 8
        far = lab.hosts["far"]
        # the delay line, the daemon, the one without a mark
        wait_until(lambda: len(running_in(far)) == 3, "three processes left on a host")
        inside = running_in(far)
    assert remains(lab.name) == []
    assert interfaces() == before
    assert not inside & running()


def test_nor_after_an_error_inside() -> None:
    with pytest.raises(ZeroDivisionError), Lab() as lab:
        lab.host("a").popen(["sleep", "1000"])
        raise ZeroDivisionError
    assert remains(lab.name) == []


@pytest.mark.parametrize(
    ("place", "build"),
    [
        ((Cable, "lay"), lambda lab: lab.host("a")),
        ((Namespace, "configure"), lambda lab: lab.host("a")),
        ((Nat, "open"), lambda lab: lab.nat("a")),
    ],
    ids=["cable", "addresses", "nat"],
)
def test_nor_when_building_fails_half_way(
    monkeypatch: pytest.MonkeyPatch, place: tuple[type, str], build: Callable[[Lab], object]
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise LabError("half-way")

    with pytest.raises(LabError, match="half-way"), Lab() as lab:
        lab.host("before").popen(["sleep", "1000"])
        monkeypatch.setattr(*place, fail)
        build(lab)
    assert remains(lab.name) == []


def test_nor_when_it_cannot_even_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise LabError("no routes today")

    lab = Lab()
    monkeypatch.setattr(Namespace, "configure", fail)
    with pytest.raises(LabError, match="no routes"):
        lab.__enter__()
    assert remains(lab.name) == []


def test_closing_tolerates_what_is_already_gone() -> None:
    with Lab() as lab:
        host = lab.host("a")
        process = host.popen(["sleep", "1000"])
        process.kill()
        process.wait()
        host.namespace.remove()
        lab.close()
    assert remains(lab.name) == []


def test_a_killed_run_is_swept_by_the_next() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", ABANDONED],
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout
        name = child.stdout.readline().strip()
        Lab.sweep()
        assert len(remains(name)) >= 6, "a lab whose maker lives was swept"
        child.send_signal(signal.SIGKILL)
    Lab.sweep()
    wait_until(lambda: remains(name) == [], f"end of {name}")  # another run may be sweeping just now


def test_only_the_makers_process_counts_not_its_number(lab: Lab) -> None:
    record = RECORDS / lab.name
    text = record.read_text()
    assert f'"pid": {os.getpid()}' in text
    Lab.sweep()
    assert record.exists()
    record.write_text(text.replace('"start_time": ', '"start_time": 1'))
    Lab.sweep()
    assert remains(lab.name) == []
