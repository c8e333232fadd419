"""Tests with a stage are marked as those of tests/netns are, and need what those need."""

import pytest

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
