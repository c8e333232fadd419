"""A demonstration passes or fails as a whole, and says so; what fails does not stop the others."""

import pytest

from demos import __main__ as demos
from demos import demonstrations
from demos.machine import DemoError, Machine, Scene, copy_file, wait_for
from demos.steps import check, step


class Recorded(Machine):
    """Answers each command with what was told beforehand; others fail."""

    def __init__(self, **answers: str) -> None:
        super().__init__("box", "/repository")
        self.answers = answers
        self.input = ""

    def run(self, command: str, *, input: str = "", timeout_s: float = 120) -> str:
        self.input = input
        if (program := command.split()[0]) not in self.answers:
            raise DemoError(f"{command!r} on box ended with 1")
        return self.answers[program]


def scene(machine: Machine) -> Scene:
    return Scene(machine, machine, machine, machine, machine)


def good(scene: Scene) -> None:
    """It works."""
    with step("first") as told:
        told.found = scene.server.run("true")


def bad(scene: Scene) -> None:
    """It does not."""
    with step("second"):
        check(scene.server.succeeds("false"), "it is wrong")


def test_a_step_that_passes_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert demos.show_one(scene(Recorded(true="found")), good) == "PASS"
    assert "PASS  first (0.0 s): found\nPASS  good" in capsys.readouterr().out


def test_a_step_that_fails_ends_its_demonstration(capsys: pytest.CaptureFixture[str]) -> None:
    assert demos.show_one(scene(Recorded()), bad) == "FAIL"
    assert "FAIL  second (0.0 s)\nFAIL  bad: it is wrong" in capsys.readouterr().out


def test_what_is_not_installed_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(demonstrations.PROGRAMS, good, ("teapot",))
    assert demos.show_one(scene(Recorded()), good) == "SKIP"
    assert "SKIP  not installed: teapot" in capsys.readouterr().out


def test_files_are_carried_by_the_lab() -> None:
    destination = Recorded(umask="")
    copy_file("secret", Recorded(cat="contents"), destination)
    assert destination.input == "contents"


def test_waiting_ends() -> None:
    assert wait_for(lambda: "there", "answer", 0) == "there"
    with pytest.raises(DemoError, match="no answer within 0 s"):
        wait_for(lambda: None, "answer", 0)
