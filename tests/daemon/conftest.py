"""Runs of the daemon in this process, on a Tox network in memory and without a private stack."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from toxvpn._native.toxcore import Tox
from toxvpn.daemon import node
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.process.notify import Notifier
from toxvpn.state import identity
from toxvpn.tcpforward.fast.stack import Stack, StackUnavailableError
from toxvpn.testing.fake_tox import FakeNetwork, FakeTox

Runs = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


@pytest.fixture
async def lifecycle() -> Lifecycle:
    """Of a run that neither systemd nor a terminal waits for, and that keeps its privileges."""
    return Lifecycle(Notifier({}))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    """The network in memory that every node of a run joins."""
    made = FakeNetwork()

    def make_tox(own: identity.Identity, chance: Random, *options: object) -> Tox:
        return cast(Tox, FakeTox(made, savedata=own.savedata))

    async def no_stack(*_: object) -> None:
        raise StackUnavailableError("not in these tests")

    monkeypatch.setattr(node, "make_tox", make_tox)
    monkeypatch.setattr(identity, "check", lambda path, savedata: None)
    monkeypatch.setattr(Stack, "start", no_stack)
    return made


@pytest.fixture
def nodes_file(tmp_path: Path) -> Path:
    known = {"ipv4": "127.0.0.1", "port": 9, "public_key": "00" * 32}
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps({"nodes": [known]}))
    return path


@pytest.fixture
async def runs(network: FakeNetwork) -> AsyncIterator[Runs]:
    """Starts runs of the daemon, which are cancelled in the end, as a signal would."""
    tasks: list[asyncio.Task[None]] = []

    def start(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    yield start
    for task in reversed(tasks):
        task.cancel()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 10)
    assert not network.members
