"""The front door: exit codes, one line for what went wrong, and a quick start."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from toxvpn import errors
from toxvpn.cli import main, root


def fail_with(error: BaseException, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    def start(_: object) -> None:
        raise error

    monkeypatch.setattr(root, "start", start)
    return main.run(arguments)


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_each_error_has_its_exit_code(
    kind: type[errors.ToxvpnError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(kind("what,\n why"), monkeypatch=monkeypatch) == kind.exit_code
    assert capsys.readouterr() == ("", "toxvpn: what, why\n")


def test_an_error_out_of_task_groups_is_unwrapped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = ExceptionGroup("", [ValueError("noise"), errors.PeerOfflineError("not there")])
    assert fail_with(ExceptionGroup("", [inner]), monkeypatch=monkeypatch) == 5
    assert capsys.readouterr().err == "toxvpn: not there\n"


def test_a_bug_is_told_without_a_traceback_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(KeyError("x"), monkeypatch=monkeypatch) == 1
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 1 and "report it" in printed and "KeyError" in printed
    assert fail_with(KeyError("x"), "-d", monkeypatch=monkeypatch) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "missing", ["libtoxcore.so.2: cannot open shared object file", "toxvpn._native.toxcore"]
)
def test_a_missing_library_is_told_with_the_remedy(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(ImportError(missing), monkeypatch=monkeypatch) == 1
    assert "apt install" in capsys.readouterr().err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(KeyboardInterrupt(), monkeypatch=monkeypatch) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_daemon_that_exits_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as caught:
        fail_with(SystemExit(143), monkeypatch=monkeypatch)
    assert caught.value.code == 143


# -- as a process ---------------------------------------------------------------------------------


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "toxvpn", *arguments], capture_output=True, text=True, timeout=30
    )


def test_the_module_runs() -> None:
    ran = process("-V")
    assert ran.returncode == 0 and ran.stdout.startswith("toxvpn ")


def test_a_mistake_leaves_stdout_alone() -> None:
    ran = process("-L", "x")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("toxvpn: ") and ran.stderr.count("\n") == 1


def test_a_closed_pipe_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "toxvpn", "-h"],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
        )
    finally:
        os.close(writer)
    assert "Traceback" not in ran.stderr and ran.returncode in (0, 1, 128 + signal.SIGPIPE)


HEAVY = {"asyncio", "netifaces", "platformdirs", "pyroute2", "rich", "scapy", "segno", "toxvpn._native"}

LOADED = """
import sys
from toxvpn.cli import main, root
root.start = lambda options: None
assert main.run(["-i", sys.argv[1], "-P", "localhost:22"]) == 0
print(*sys.modules)
"""


def test_a_client_starts_without_loading_what_it_does_not_need() -> None:
    tox_id = "0" * 76
    ran = subprocess.run([sys.executable, "-c", LOADED, tox_id], capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert HEAVY.isdisjoint(ran.stdout.split())


def test_stdout_of_a_verb_is_data_only(toxvpn: Any, tmp_path: Any) -> None:
    ran = toxvpn("id", "-C", tmp_path, "-d")
    assert ran.code == 0 and len(ran.out) == 77
