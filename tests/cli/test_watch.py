"""`toxvpn status --watch`: one block after the other, or in place on a terminal, which is left as it was."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import watch
from toxvpn.testing.fake_daemon import FakeDaemon


@pytest.fixture
def twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes in the second pause."""
    pauses = iter((None, KeyboardInterrupt))

    def pause(seconds: float) -> None:
        assert seconds == watch.EVERY_S
        if (raised := next(pauses)) is not None:
            raise raised

    monkeypatch.setattr(time, "sleep", pause)


@pytest.mark.usefixtures("twice")
def test_blocks_where_there_is_no_terminal(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here) as daemon:
        ran = toxvpn("status", "--watch", "-C", here)
        assert daemon.looks == 3, "each block has fresh round trips, and the first look is one too"
    blocks = ran.out.split("toxvpn VPN on toxvpn0")
    assert (ran.code, ran.err.strip(), len(blocks), "\x1b" in ran.out) == (130, "", 3, False)
    assert "alice" in blocks[1] and blocks[1].endswith("\n\n")


@pytest.mark.usefixtures("twice")
def test_json_is_a_document_in_each_line(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here):
        ran = toxvpn("status", "--watch", "--json", "-C", here)
    documents = [json.loads(line) for line in ran.out.splitlines() if line]
    assert [each["self"]["mode"] for each in documents] == ["up", "up"]


def test_it_goes_on_while_toxvpn_is_restarted(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeDaemon(here) as daemon:

        def pause(_: float) -> None:
            if "not running" in "".join(written):
                raise KeyboardInterrupt
            daemon.end()

        written: list[str] = []
        monkeypatch.setattr(time, "sleep", pause)
        monkeypatch.setattr(watch, "write", written.append)
        assert toxvpn("status", "--watch", "-C", here).code == 130
    assert "alice" in written[0] and written[-1].startswith("toxvpn is not running")


def test_not_running_is_said_at_once(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("status", "--watch", "-C", here)
    assert (ran.code, ran.out) == (3, "")


def test_a_frame_is_cut_to_the_screen_and_covers_the_last_one() -> None:
    assert watch.frame("a\nb\nc", 2) == "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J"
    assert watch.frame("", 24) == "\x1b[H\x1b[K\x1b[J"


@pytest.mark.parametrize(("how", "code"), [("\x03", 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_terminal_is_left_as_it_was(here: Path, how: str | signal.Signals, code: int) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "toxvpn", "status", "--watch", "-C", str(here)])
    with FakeDaemon(here):
        shown = ""
        try:
            while "alice" not in shown:
                shown += os.read(terminal, 65536).decode(errors="replace")
            if isinstance(how, str):
                os.write(terminal, how.encode())
            else:
                os.kill(pid, how)
            while piece := read(terminal):
                shown += piece
        finally:
            os.close(terminal)
            _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == (128 + signal.SIGTERM if code < 0 else code)
    assert watch.BEGIN in shown and shown.rstrip("\r\n").endswith(watch.END)
    assert shown.count(watch.BEGIN) == shown.count(watch.END) == 1
    assert "Traceback" not in shown


def read(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # EIO: the other end is closed
        return ""


def test_what_reads_its_output_may_end(here: Path) -> None:
    with FakeDaemon(here):
        argv = [sys.executable, "-m", "toxvpn", "status", "--watch", "-C", str(here)]
        ran = subprocess.run(
            f"{' '.join(argv)} | head -n 1", shell=True, capture_output=True, text=True, timeout=20
        )
    assert ran.stdout.startswith("toxvpn VPN") and ran.stderr == ""
