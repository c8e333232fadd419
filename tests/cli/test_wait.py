import contextlib
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toxvpn.cli import wait
from toxvpn.testing.fake_daemon import FakeDaemon


@pytest.mark.parametrize("arguments", [[], ["alice", "bob"], ["--direct", "alice"], ["--timeout", "0"]])
def test_it_is_so_already(toxvpn: Any, here: Path, arguments: list[str]) -> None:
    with FakeDaemon(here):
        ran = toxvpn("wait", *arguments, "-C", here)
    assert (ran.code, ran.out, ran.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["0000"], 5, "not reached in time: 00000000"),
        (["--direct"], 6, "reached only over a relay, not directly: bob"),
        (["dave"], 4, "'dave'"),
    ],
)
def test_not_in_time(toxvpn: Any, here: Path, arguments: list[str], code: int, message: str) -> None:
    with FakeDaemon(here):
        ran = toxvpn("wait", *arguments, "--timeout", "0.05", "-C", here)
    assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)
    assert message in ran.err


def test_not_running_is_3(toxvpn: Any, here: Path) -> None:
    assert toxvpn("wait", "-C", here).code == 3


def test_a_daemon_that_is_just_starting_is_waited_for(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `toxvpn up & toxvpn wait`."""
    with contextlib.ExitStack() as running:

        def sleep(_: float) -> None:
            running.enter_context(FakeDaemon(here))

        monkeypatch.setattr(wait, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
        monkeypatch.setattr(wait, "START_S", 10.0)
        assert toxvpn("wait", "--timeout", "5", "-C", here).code == 0


def test_a_daemon_that_ends_meanwhile_is_3(here: Path) -> None:
    command = [sys.executable, "-m", "toxvpn", "wait", "0000", "-C", str(here)]
    with FakeDaemon(here) as daemon:
        waiting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while daemon.reads < 2:
            assert waiting.poll() is None
            time.sleep(0.01)
    message = waiting.communicate(timeout=10)[1]
    assert (waiting.returncode, message) == (
        3,
        "toxvpn: toxvpn ended or closed the connection before it answered\n",
    )
