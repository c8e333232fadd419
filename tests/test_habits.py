"""How tests run: what is tried again, what is ended, and under which signal dispositions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

FAILING = """
import pytest

def test_pure():
    assert False

@pytest.mark.real
def test_with_a_process():
    assert False
"""

HANGING = """
import threading

def test_waits_for_ever():
    threading.Event().wait()

def test_comes_after_it():
    pass
"""

NEED_THEIR_SIGNALS = (
    "tests/process/test_background.py::test_a_starter_that_is_interrupted_takes_the_child_with_it",
    "tests/process/test_run.py::test_without_its_terminal_it_ends_and_otherwise_reloads",
    "tests/share/test_command.py::TestPipe::test_a_signal_resets_its_stream",
)


def run_pytest(*arguments: str, prefix: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """Run pytest with the settings of this repository."""
    settings = ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", "-q"]
    argv = [*prefix, sys.executable, "-m", "pytest", *settings, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def test_only_what_is_marked_real_is_tried_again(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    tmp_path.joinpath("test_failing.py").write_text(FAILING)
    result = run_pytest("-rfR", str(tmp_path))
    tried_again = [line.split("::")[-1] for line in result.stdout.splitlines() if line.startswith("RERUN")]
    assert [name.split()[0] for name in tried_again] == ["test_with_a_process"], result.stdout
    assert "2 failed, 1 rerun" in result.stdout


def test_one_that_hangs_fails_and_the_others_go_on(tmp_path: Path) -> None:
    tmp_path.joinpath("test_hanging.py").write_text(HANGING)
    result = run_pytest("-o", "timeout=1", str(tmp_path))
    assert "test_waits_for_ever - Failed: Timeout" in result.stdout and "1 failed, 1 passed" in result.stdout


def test_the_signals_that_nohup_and_a_shell_have_ignored_do_not_matter() -> None:
    ignoring = ("sh", "-c", 'trap "" HUP INT QUIT TERM; exec "$@"', "sh")
    result = run_pytest(*NEED_THEIR_SIGNALS, prefix=ignoring)
    assert result.returncode == 0, result.stdout
