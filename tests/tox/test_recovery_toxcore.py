"""How soon two peers are connected again after one of them slept: real toxcores on the test's own time."""

import time
from collections.abc import AsyncIterator, Callable

import pytest

from toxvpn._native.options import Options
from toxvpn._native.toxcore import Tox
from toxvpn.testing.fake_nodes import Once
from toxvpn.testing.hooked import set_time
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.recovery import Recovery

LOCAL = Options(ipv6=False, local_discovery=False)
TURN_S = 0.05
CONNECTING_S = 100.0
GOAL_S = 5.0


class Pair:
    """Two nodes with real toxcores; each takes a turn in 50 ms, unless it sleeps."""

    def __init__(self) -> None:
        self._now_ns = time.monotonic_ns()
        set_time(self._now_ns)
        self.nodes = [self._node() for _ in range(2)]
        here, there = self.nodes
        there.tox.bootstrap("127.0.0.1", here.tox.udp_port, here.tox.dht_id)
        here.accept(there.tox.public_key)
        there.accept(here.tox.public_key)

    def _node(self) -> Node:
        node = Node(Tox(LOCAL), Once([]))
        node.now = node.turns.now = self.now
        OwnStatus(node)
        self.recoveries = [*getattr(self, "recoveries", []), Recovery(node)]
        return node

    def now(self) -> float:
        return self._now_ns / 1e9

    def connected(self) -> bool:
        return all(peer.online and peer.places for node in self.nodes for peer in node)

    def run(self, done: Callable[[], object], limit_s: float, *asleep: Node) -> float:
        """Lets time pass until then or for so long; how much has passed."""
        began_s = self.now()
        while not done() and self.now() - began_s < limit_s:
            self._now_ns += int(TURN_S * 1e9)
            set_time(self._now_ns)
            for node in self.nodes:
                if node not in asleep:
                    node.turns.turn()
        return self.now() - began_s

    def close(self) -> None:
        for recovery in self.recoveries:
            recovery.close()
        for node in self.nodes:
            node.close()
        set_time(None)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    try:
        assert made.run(made.connected, CONNECTING_S) < CONNECTING_S
        made.run(lambda: False, 20.0)
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    ("slept_s", "goal_s"),
    [(10.0, GOAL_S), (25.0, 9.0), (30.0, 9.0), *((s, GOAL_S) for s in (35.0, 60.0, 600.0))],
)
@pytest.mark.parametrize("which", [0, 1])
async def test_who_slept_is_connected_again_at_once(
    pair: Pair, which: int, slept_s: float, goal_s: float
) -> None:
    """After 24 to 33 s it depends on when the last ping came whether the other has given up."""
    sleeper = pair.nodes[which]
    pair.run(lambda: False, slept_s, sleeper)
    [peer] = sleeper
    began_s = pair.now()
    pair.run(lambda: False, 1.0)  # it may still believe to be connected
    pair.run(pair.connected, 60.0)
    assert pair.now() - began_s <= goal_s
    pair.run(lambda: False, 50.0)
    assert pair.connected()
    assert peer.changed_s - began_s <= goal_s, "and stays so"


@pytest.mark.parametrize("slept_s", [60.0, 600.0])
async def test_when_both_slept_too(pair: Pair, slept_s: float) -> None:
    pair.run(lambda: False, slept_s, *pair.nodes)
    began_s = pair.now()
    pair.run(lambda: False, 1.0)
    pair.run(pair.connected, 60.0)
    assert pair.now() - began_s <= GOAL_S
