"""When a node has a port mapping, and when its router is asked again; on a fake network."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox.node import Node
from toxvpn.tox.reach import mapping
from toxvpn.tox.reach.recovery import Recovery
from toxvpn.wire.reach.mapped import Endpoint

OUTER = ("203.0.113.77", 40000)


class FakeKeeper:
    """Notes what is asked of it."""

    last: "FakeKeeper"

    def __init__(
        self, port: int, on_change: Callable[[Endpoint | None], None], drops: Counter[str], mark: int
    ) -> None:
        self.made_with = port, mark
        self.on_change = on_change
        self.calls: list[str] = []
        FakeKeeper.last = self

    def begin(self) -> None:
        self.calls.append("begin")

    def hurry(self) -> None:
        self.calls.append("hurry")

    async def close(self) -> None:
        self.calls.append("close")


@pytest.fixture(autouse=True)
def _keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "MappingKeeper", FakeKeeper)
    monkeypatch.delenv(mapping.SWITCH)


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    network = Network()
    yield network
    network.close()


def no_recovery() -> Recovery:
    return cast(Recovery, SimpleNamespace())


async def test_it_begins_on_the_network_and_ends_with_the_run(network: Network) -> None:
    node = network.node()
    port = node.tox.udp_port
    async with mapping.mapping(node, no_recovery(), 7, wanted=True) as keeper:
        assert cast(object, keeper) is FakeKeeper.last and FakeKeeper.last.made_with == (port, 7)
        assert FakeKeeper.last.calls == []
        node.on_self_connection(Connection.NONE)
        node.on_self_connection(Connection.UDP)
        node.turns.turn()
        assert FakeKeeper.last.calls == ["begin"]
    assert FakeKeeper.last.calls == ["begin", "close"]


async def lose(node: Node) -> None:
    [peer] = node
    node.on_friend_connection(peer.number, Connection.UDP)
    node.on_friend_connection(peer.number, Connection.TCP)
    node.turns.turn()


async def test_the_router_is_asked_again_after_a_sleep_and_when_a_direct_path_is_lost(
    network: Network,
) -> None:
    left, _ = network.pair()
    await until(lambda: all(peer.online for peer in left))
    async with mapping.mapping(left, no_recovery(), 0, wanted=True):
        left.on_nap(60.0)
        assert FakeKeeper.last.calls == ["hurry"]
        for _ in range(5):
            await lose(left)
        assert FakeKeeper.last.calls == ["hurry"] * 4, "three times, and once a minute, for the sake of paths"


@pytest.mark.parametrize("why", ["not wanted", "switched off", "no UDP"])
async def test_nobody_is_asked(network: Network, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    node = network.node()
    if why == "switched off":
        monkeypatch.setenv(mapping.SWITCH, "off")
    if why == "no UDP":
        monkeypatch.setattr(type(node.tox), "udp_port", 0)
    async with mapping.mapping(node, no_recovery(), 0, wanted=why != "not wanted") as keeper:
        assert keeper is None
