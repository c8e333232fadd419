"""The identity is taken from a node that gives way, as soon as it has."""

import asyncio
from pathlib import Path

import pytest

from toxvpn.daemon import identity as module
from toxvpn.daemon.identity import take_identity
from toxvpn.state.identity import Identity, IdentityInUseError


def answers(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    monkeypatch.setattr(module, "gives_way", lambda _: answer)
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.001)


async def test_who_gives_way_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, answer=True)
    other = Identity.open(tmp_path)
    taking = asyncio.create_task(take_identity(tmp_path, tmp_path))
    await asyncio.sleep(0)
    assert not taking.done()
    other.close()
    (await taking).close()


async def test_who_does_not_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, answer=False)
    with Identity.open(tmp_path), pytest.raises(IdentityInUseError):
        await take_identity(tmp_path, tmp_path)


async def test_who_says_so_and_stays_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, answer=True)
    monkeypatch.setattr(module, "ENDING_S", 0.01)
    with Identity.open(tmp_path), pytest.raises(IdentityInUseError):
        await take_identity(tmp_path, tmp_path)
