import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toxvpn.control import socketfile
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.tun.exit import leftovers


def test_nothing_to_stop_is_fine(toxvpn: Any, here: Path) -> None:
    for _ in range(2):
        ran = toxvpn("down", "-C", here)
        assert (ran.code, ran.out, ran.err) == (0, "", "toxvpn is not running\n")
    assert toxvpn("down", "-q", "-C", here).err == ""


def test_what_a_killed_run_left_is_undone(toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[Path] = []

    def clear(runtime: Path) -> bool:
        cleared.append(runtime)
        return True

    monkeypatch.setattr(leftovers, "clear", clear)
    ran = toxvpn("down", "-C", here)
    assert (ran.code, cleared) == (0, [here])
    assert ran.err == "toxvpn is not running, and what an earlier run left in the network is undone\n"


SLOW_TO_STOP = """
import asyncio, sys, time
from pathlib import Path
from toxvpn.control.commands import RunCommands
from toxvpn.control.server import ControlServer
from toxvpn.testing.fake_status import idle

async def serve():
    server, end = ControlServer(Path(sys.argv[1])), asyncio.Event()
    RunCommands(server, idle, None, end.set)
    await server.start()
    print("ready", flush=True)
    await end.wait()
    server.close()

asyncio.run(serve())
time.sleep(0.3)  # as if it put the network back
Path(sys.argv[1], "undone").touch()
"""


def test_it_returns_when_the_daemon_is_gone(toxvpn: Any, tmp_path: Path, here: Path) -> None:
    command = [sys.executable, "-c", SLOW_TO_STOP, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        ran = toxvpn("down", "-C", tmp_path)
        assert (ran.code, ran.out, ran.err) == (0, "", "")
        assert (tmp_path / "undone").exists()
        assert daemon.wait(5) == 0
    assert toxvpn("down", "-C", tmp_path).err == "toxvpn is not running\n"


def test_a_daemon_whose_process_cannot_be_seen(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs in another pid namespace: the end of the conversation must do."""
    monkeypatch.setattr(socketfile, "credentials", lambda _: socketfile.Credentials(0, 0))
    with FakeDaemon(here):
        assert toxvpn("down", "-C", here).code == 0
        assert toxvpn("down", "-C", here).err == "toxvpn is not running\n"


def test_one_that_does_not_stop_is_an_error(toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toxvpn.cli.down.STOPPING_S", 0.05)
    with FakeDaemon(here):  # in this process, which goes on
        ran = toxvpn("down", "-C", here)
    assert ran.code == 1 and "still runs" in ran.err
