"""Departures: peers that are gone for good are reported, those that were only away are not."""

from collections.abc import AsyncIterator

import pytest

from toxvpn.tcpforward.fast import departures
from toxvpn.tcpforward.fast.departures import Departures
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox.peer import Peer


class Scene:
    """A node, its peer that is online, and those that were said to be gone."""

    def __init__(self) -> None:
        self.network = Network()
        self.node, other = self.network.pair()
        peer = self.node.peer(other.tox.public_key)
        assert peer is not None
        self.peer = peer
        self.gone: list[Peer] = []
        self.departures = Departures(self.node, self.gone.append)

    async def online(self, online: bool) -> None:
        self.network.tox.set_online(online)
        await until(lambda: self.peer.online is online)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    await made.online(True)
    yield made
    made.departures.close()
    made.network.close()


async def test_who_is_away_for_too_long_is_gone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "GONE_AFTER_S", 0.0)
    for _ in range(2):
        await scene.online(False)
        await until(lambda: scene.gone == [scene.peer])
        await scene.online(True)
        scene.gone.clear()


async def test_who_comes_back_is_not_gone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.online(False)
    [timer] = scene.departures._timers.values()
    await scene.online(True)
    assert timer.cancelled()
    assert not scene.departures._timers


async def test_absence_is_counted_from_its_beginning(scene: Scene) -> None:
    await scene.online(False)
    [timer] = scene.departures._timers.values()
    scene.node.reach(bytes(scene.peer.public_key) + scene.network.nodes[1].tox.address[32:], b"hi")
    assert [timer] == list(scene.departures._timers.values())


async def test_who_is_removed_is_gone_at_once(scene: Scene) -> None:
    scene.node.remove(scene.peer)
    assert scene.gone == [scene.peer]
    assert not scene.departures._timers


async def test_nothing_is_said_after_the_end(scene: Scene) -> None:
    await scene.online(False)
    [timer] = scene.departures._timers.values()
    scene.departures.close()
    assert timer.cancelled()
    scene.node.remove(scene.peer)
    assert not scene.gone
    scene.departures = Departures(scene.node, scene.gone.append)
