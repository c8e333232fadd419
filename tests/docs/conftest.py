"""Tests with a stage are marked as those of tests/netns are, and need what those need."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

import toxvpn
from lab.require import require


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "on_stage" in getattr(item, "fixturenames", ()):
            item.add_marker("netns")
            item.add_marker("real")


@pytest.fixture
def on_stage() -> None:
    """Ask for it in a test that has a stage: skips it, or on CI fails, where there can be none."""
    from booted import NEEDED

    require(*NEEDED, "sudo", "sshd", "useradd")
    installed = installed_package()
    if installed != toxvpn.__file__:
        pytest.fail(
            f"the stage runs the command of {installed}, and {toxvpn.__file__} is tested: "
            "give this tree a .venv of its own by scripts/setup"
        )


@functools.cache
def installed_package() -> str:
    """The package that `toxvpn` imports, whatever the directory: a stage gives that one its nodes."""
    argv = [sys.executable, "-I", "-c", "import toxvpn; print(toxvpn.__file__)"]
    return subprocess.run(argv, cwd=Path("/"), check=True, capture_output=True, text=True).stdout.strip()
