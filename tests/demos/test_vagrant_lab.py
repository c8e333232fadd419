"""scripts/vagrant-lab removes the machines, whatever happened, and its exit code says whether all passed."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demos import vagrant_lab


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the programs that take the place of vagrant and python3 tell what they were called with."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(vagrant_lab, "LOG", tmp_path / "build/lab.log")
    monkeypatch.setattr("sys.argv", ["vagrant_lab", "vpn"])
    called = tmp_path / "called"
    for name, does in (("vagrant", '[ "$1" != up ] || eval "$UP"'), ("python3", "exit ${DEMOS:-0}")):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>{called}\n{does}\n')
        program.chmod(0o755)
    return called


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests were started to ignore it
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_whole_run(calls: Path) -> None:
    assert vagrant_lab.main() == 0
    assert calls.read_text().splitlines() == [
        "vagrant up",
        "python3 -u -m demos --vagrant vpn",
        "vagrant destroy --force",
    ]
    assert vagrant_lab.LOG.read_text().endswith("     0 s  PASS  vagrant-lab\n")


def test_a_demonstration_fails(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMOS", "1")
    assert vagrant_lab.main() == 1
    assert calls.read_text().endswith("vagrant destroy --force\n")
    assert vagrant_lab.LOG.read_text().endswith("FAIL  vagrant-lab\n")


def test_the_machines_do_not_start(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UP", "echo 'no KVM'; exit 1")
    assert vagrant_lab.main() == 1
    assert calls.read_text() == "vagrant up\nvagrant destroy --force\n"
    assert "0 s  no KVM\n" in vagrant_lab.LOG.read_text()


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_stopped_half_way(calls: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    read = f"until grep -q started {vagrant_lab.LOG}; do sleep 0.01; done"
    stop = f"kill -{name} $PPID; left=500; while [ $((left -= 1)) -gt 0 ]; do sleep 0.01; done"
    monkeypatch.setenv("UP", f"trap 'echo stopped; exit 1' INT; echo started; {read}; {stop}")
    if name == "INT":
        assert vagrant_lab.main() == 1
    else:
        with pytest.raises(SystemExit):
            vagrant_lab.main()
    assert calls.read_text() == "vagrant up\nvagrant destroy --force\n"
    assert "stopped\n" in vagrant_lab.LOG.read_text()
