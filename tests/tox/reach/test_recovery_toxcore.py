"""How soon two peers are connected again after one of them slept: real toxcores on the test's own time."""

import errno
import socket
import time
from collections.abc import AsyncIterator, Callable

import pytest

from toxvpn._native.handler import Handler
from toxvpn._native.options import Options
from toxvpn._native.results import Connection
from toxvpn._native.toxcore import Tox
from toxvpn.testing.fake_nodes import Once
from toxvpn.testing.hooked import fail_sends, set_time
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import Peer
from toxvpn.tox.reach.recovery import Recovery
from toxvpn.tox.reach.relays import reconnect_relays

LOCAL = Options(ipv6=False, local_discovery=False)
RELAYS = 3
PACKET = bytes([250, 1])
TURN_S = 0.05
CONNECTING_S = 100.0
GOAL_S = 5.0


class Pair:
    """Two nodes with real toxcores; each takes a turn in 50 ms, unless it sleeps."""

    def __init__(self, options: Options = LOCAL) -> None:
        self._now_ns = time.monotonic_ns()
        set_time(self._now_ns)
        self.relays: list[Tox] = []
        self.recoveries: list[Recovery] = []
        self.nodes = [self._node(options) for _ in range(2)]
        here, there = self.nodes
        here.accept(there.tox.public_key)
        there.accept(here.tox.public_key)

    def _node(self, options: Options) -> Node:
        node = Node(Tox(options), Once([]))
        node.now = node.turns.now = self.now
        OwnStatus(node)
        self.recoveries.append(Recovery(node))
        return node

    def join_directly(self) -> None:
        here, there = (node.tox for node in self.nodes)
        there.bootstrap("127.0.0.1", here.udp_port, here.dht_id)

    def join_by_relays(self) -> None:
        for _ in range(RELAYS):
            relay = Tox(Options(ipv6=False, local_discovery=False, tcp_port=free_port()), handler=Silent())
            for other in (*self.relays[:1], *(node.tox for node in self.nodes)):
                other.bootstrap("127.0.0.1", relay.udp_port, relay.dht_id)
            for node in self.nodes:
                node.tox.add_tcp_relay("127.0.0.1", relay.tcp_port, relay.dht_id)
            self.relays.append(relay)

    def now(self) -> float:
        return self._now_ns / 1e9

    def online(self) -> bool:
        return all(peer.online for node in self.nodes for peer in node)

    def connected(self) -> bool:
        return all(peer.online and peer.places for node in self.nodes for peer in node)

    def run(self, done: Callable[[], object], limit_s: float, *asleep: Node) -> float:
        """Lets time pass until then or for so long; how much has passed."""
        began_s = self.now()
        while not done() and self.now() - began_s < limit_s:
            self._now_ns += int(TURN_S * 1e9)
            set_time(self._now_ns)
            for relay in self.relays:
                relay.iterate()
            for node in self.nodes:
                if node not in asleep:
                    node.turns.turn()
        return self.now() - began_s

    def close(self) -> None:
        for recovery in self.recoveries:
            recovery.close()
        for node in self.nodes:
            node.close()
        for relay in self.relays:
            relay.close()
        fail_sends([])
        set_time(None)


class Silent(Handler):
    """Of a relay, which has no friends."""

    def on_self_connection(self, connection: Connection) -> None: ...
    def on_friend_request(self, public_key: bytes, message: bytes) -> None: ...
    def on_friend_name(self, number: int, name: bytes) -> None: ...
    def on_friend_status_message(self, number: int, text: bytes) -> None: ...
    def on_friend_connection(self, number: int, connection: Connection) -> None: ...
    def on_lossy(self, number: int, packet: bytes) -> None: ...
    def on_lossless(self, number: int, packet: bytes) -> None: ...
    def on_nap(self, slept_s: float) -> None: ...


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    try:
        made.join_directly()
        assert made.run(made.connected, CONNECTING_S) < CONNECTING_S
        made.run(lambda: False, 20.0)
        yield made
    finally:
        made.close()


@pytest.fixture
async def relayed() -> AsyncIterator[Pair]:
    made = Pair(Options(ipv6=False, local_discovery=False, udp=False))
    try:
        made.join_by_relays()
        assert made.run(made.online, CONNECTING_S) < CONNECTING_S
        made.run(lambda: False, 10.0)
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


@pytest.mark.parametrize("gone_s", [20.0, 40.0, 60.0])
async def test_when_the_network_was_gone(pair: Pair, gone_s: float) -> None:
    fail_sends([errno.ENETUNREACH] * 1_000_000)
    pair.run(lambda: False, gone_s)
    fail_sends([])
    began_s = pair.now()
    pair.run(lambda: False, 1.0)
    pair.run(pair.connected, 60.0)
    assert pair.now() - began_s <= GOAL_S


async def test_connections_to_relays_are_made_anew_at_once(relayed: Pair) -> None:
    """Without, toxcore would notice after 30 to 40 s that they are lost."""
    here, there = relayed.nodes
    received: list[bytes] = []

    def on_packet(peer: Peer, packet: bytes) -> None:
        received.append(packet)

    there.on_packet_id(PACKET[0], on_packet)
    [peer] = here

    def arrives() -> bool:
        here.tox.send_lossy(peer.number, PACKET)
        return bool(received)

    for lost in relayed.nodes:
        assert reconnect_relays(lost.tox, lambda local, relay: True) == RELAYS
        received.clear()
        assert 0 < relayed.run(arrives, 60.0) <= GOAL_S
        assert relayed.online()
