"""`toxvpn up` beside another process that has its identity already."""

from pathlib import Path
from typing import Any

import pytest

from toxvpn.config.flags import DaemonOptions
from toxvpn.daemon import up as module
from toxvpn.daemon.up import ALREADY, NO_EXIT, up
from toxvpn.errors import NotRunningError, ToxvpnError
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.state.identity import IdentityInUseError
from toxvpn.testing.options import up_options


class Scene:
    """`tries` are the outcomes of coming up, one after the other; `answers` what the other one says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path, lifecycle: Lifecycle) -> None:
        self.lifecycle = lifecycle
        self.options = up_options(directory=directory)
        self.tries: list[Exception | None] = []
        self.answer: object = NotRunningError("nobody answers")
        monkeypatch.setattr(module, "serve", self._serve)
        monkeypatch.setattr(module, "call", self._call)
        monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.001)
        monkeypatch.setattr(module, "STARTING_S", 0.1)

    async def up(self) -> None:
        await up(self.options, self.lifecycle)

    async def _serve(self, options: DaemonOptions, lifecycle: Lifecycle) -> None:
        assert options is self.options and lifecycle is self.lifecycle
        outcome = self.tries.pop(0) if self.tries else IdentityInUseError("in use")
        if outcome is not None:
            raise outcome

    def _call(self, directory: Path, do: str) -> Any:
        assert (directory, do) == (self.options.directory, "status")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lifecycle: Lifecycle) -> Scene:
    return Scene(monkeypatch, tmp_path, lifecycle)


async def test_a_network_that_is_up_is_left_alone(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.answer = {"self": {"mode": "up"}}
    caplog.set_level("INFO", "toxvpn")
    await scene.up()
    assert caplog.messages == [ALREADY]


async def test_one_that_is_up_without_the_exit_that_is_wanted_is_an_error(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "toxvpn")
    scene.options = up_options(directory=tmp_path, exit="box")
    scene.answer = {"self": {"mode": "up", "exit": None}}
    with pytest.raises(ToxvpnError, match=NO_EXIT):
        await scene.up()
    scene.answer = {"self": {"mode": "up", "exit": {"peer": "00", "blocked": False}}}
    await scene.up()
    assert caplog.messages == [ALREADY]


@pytest.mark.parametrize(
    "answer", [{"self": {"mode": "server"}}, {"self": {}}, {}, [], None, NotRunningError("gone")]
)
async def test_another_use_of_the_identity_is_a_failure(scene: Scene, answer: object) -> None:
    scene.answer = answer
    with pytest.raises(IdentityInUseError):
        await scene.up()


async def test_who_has_it_for_a_moment_is_waited_for(scene: Scene) -> None:
    scene.tries = [IdentityInUseError("in use"), IdentityInUseError("in use"), None]
    await scene.up()
    assert scene.tries == []


async def test_other_failures_are_told_at_once(scene: Scene) -> None:
    scene.tries = [NotRunningError("something else"), None]
    with pytest.raises(NotRunningError):
        await scene.up()
    assert scene.tries == [None]
