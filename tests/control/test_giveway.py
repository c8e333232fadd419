"""Whether the process that has the identity lets go of it."""

from pathlib import Path

import pytest

from toxvpn.control.giveway import GIVE_WAY, gives_way
from toxvpn.state.identity import IdentityInUseError
from toxvpn.testing.fake_daemon import FakeDaemon


def test_a_shared_node_that_nobody_uses_does(tmp_path: Path) -> None:
    with FakeDaemon(tmp_path, {GIVE_WAY: True}):
        assert gives_way(tmp_path)


def test_one_that_is_used_is_named(tmp_path: Path) -> None:
    with FakeDaemon(tmp_path, {GIVE_WAY: False}), pytest.raises(IdentityInUseError, match="toxvpn ssh"):
        gives_way(tmp_path)


def test_another_run_does_not(tmp_path: Path) -> None:
    with FakeDaemon(tmp_path):
        assert not gives_way(tmp_path)
    assert not gives_way(tmp_path)
