"""What is shown while files go: the bars on a terminal, and what they count."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from toxvpn.cli import filescreen
from toxvpn.cli.filescreen import REASONS, ReceiverScreen, Screen, SenderScreen, TransferBar
from toxvpn.wire.filetransfer import Failed, Failure, Have, Kept


@pytest.fixture
def bars() -> Progress:
    return Progress(console=Console(file=io.StringIO(), force_terminal=True))


def test_what_is_there_already_does_not_count_as_moved(bars: Progress) -> None:
    bar = TransferBar(bars, 1000)
    (task,) = bars.tasks
    bar.moved("a", 400)  # it went on where it was
    assert (task.completed, task.total) == (0, 600)
    bar.moved("a", 500)
    bar.moved("a", 600)
    moved = bar.ended("a", 600)
    assert moved is not None and moved[0] == 200
    assert (task.completed, task.total) == (200, 600)
    assert bar.ended("b", 400) is None  # the other side had it
    assert (task.completed, task.total) == (200, 200)
    bar.close()
    assert bars.tasks == []


def test_a_terminal_gets_bars_and_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    written.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(filescreen.sys, "stderr", written)  # type: ignore[attr-defined]
    monkeypatch.setenv("TERM", "xterm")
    with Screen(quiet=False) as screen:
        view = SenderScreen(screen, "box")
        view.begin(10)
        view.moved("[red]a", 0, 10)
        view.moved("[red]a", 10, 10)
        view.ended("[red]a", 10, Kept(b"[red]a"))
        view.close()
    assert "sent [red]a: 10 B in " in written.getvalue()


@pytest.mark.parametrize("why", Failure)
def test_each_reason_has_words(why: Failure, capsys: pytest.CaptureFixture[str]) -> None:
    view = SenderScreen(Screen(quiet=True), "box")
    view.ended("a", 1, Failed(why))
    assert view.failed == 1
    assert capsys.readouterr().err == f"a: {REASONS[why]}\n"


def test_the_lines_of_a_sender(capsys: pytest.CaptureFixture[str]) -> None:
    view: Any = SenderScreen(Screen(quiet=False), "box")
    view.ended("a", 1, Have(b"a"))
    view.ended("photos/", 1, Kept(b"photos (1)"))
    view.ended("b", 1, Kept(b"b\x1b[2J"))
    assert capsys.readouterr().err.splitlines() == [
        "a: box has it already",
        "sent photos/ as photos (1)",
        r"sent b as b\x1b[2J",
    ]


def test_the_lines_of_a_receiver(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    view = ReceiverScreen(Screen(quiet=False), Path("into"), "box")
    view.begin(2, 1500)
    view.kept(b"\xff\n", 5)
    view.had(b"b")
    view.failed("c", "No space left on device")
    view.interrupted("it broke")
    out, err = capsysbinary.readouterr()
    assert out == b"into/\xff\n\n"
    assert err.decode().splitlines() == [
        "box sends 2 files, 1.5 kB",
        "b: it is here already",
        "c: No space left on device",
        "box: interrupted (it broke); it goes on when it is sent again",
    ]
    assert view.not_kept == 1
