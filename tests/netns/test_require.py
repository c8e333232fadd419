"""A missing prerequisite skips, and fails with CI=true."""

import os

import pytest

from lab.require import missing, require


@pytest.fixture
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("no_root")
def test_a_missing_piece_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs root"):
        require()


@pytest.mark.usefixtures("no_root")
def test_a_missing_piece_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs root"):
        require()


def test_programs_are_named() -> None:
    assert missing() is None
    assert missing("sh", "no-such-a", "no-such-b") == (
        "the network lab needs no-such-a, no-such-b, not installed here"
    )


def test_everything_in_this_folder_is_marked(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("netns")
