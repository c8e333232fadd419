"""Two nodes on a fake network find a port for each other, by sockets on the loopback interface."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest

from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.fake_tox import FakeTox
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import Peer
from toxvpn.tox.reach.punch import (
    ALL_TRIES_AT_ONCE,
    ALL_TRIES_PER_S,
    ASK_S,
    KEEP_S,
    LOOK_AGAIN_S,
    LOOK_SELDOM_S,
    OPEN_S,
    SETTLE_S,
    TRY_S,
    Pause,
    Punch,
    _Opening,
)
from toxvpn.tox.reach.recovery import Recovery
from toxvpn.wire.reach import punch
from toxvpn.wire.reach.punch import OpenPorts

HERE = "127.0.0.1"


class Clock:
    """That of the loop."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Side:
    def __init__(self, network: Network, node: Node, clock: Clock) -> None:
        self.node = node
        self.tox: FakeTox = network.fake(node)
        self.clock = clock
        node.now = clock
        self.tox.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.tox.udp.bind((HERE, 0))
        self.recovery = Recovery(node)
        OwnStatus(node)
        self.punch = Punch(node, self.recovery)
        self.sent: list[OpenPorts] = []
        send = self.tox.send_lossy

        def noted(number: int, data: bytes | bytearray | memoryview) -> object:
            if data[0] == punch.PACKET_ID and (opened := punch.decode_untrusted(bytes(data))):
                self.sent.append(opened)
            return send(number, data)

        self.tox.send_lossy = noted  # type: ignore[method-assign, assignment]

    @property
    def port(self) -> int:
        return self.tox.udp_port

    @property
    def peer(self) -> Peer:
        [peer] = self.node
        return peer

    @property
    def opened(self) -> list[int]:
        """The ports of the sockets that wait."""
        opening = self.punch._opening
        return [each.getsockname()[1] for each in opening.sockets] if opening else []

    def see(self, key: bytes, *ports: int) -> None:
        """So many DHT nodes tell a port each."""
        for number, port in enumerate(ports):
            self.tox.told_places.append((key, (HERE, port), (f"198.51.100.{number}", 33445)))

    def tick(self) -> None:
        for call in self.node.each_tick:
            call(self.clock.now)

    def close(self) -> None:
        self.punch.close()
        self.recovery.close()
        if self.tox.udp:
            self.tox.udp.close()


class Pair:
    """`hard` is behind a router that changes ports, `easy` behind another kind."""

    def __init__(self, network: Network) -> None:
        self.clock = Clock()
        nodes = network.pair()
        for node in nodes:  # their own ticks would come by the real time
            node.turns._tick = lambda now: None
        self.easy, self.hard = self.sides = [Side(network, node, self.clock) for node in nodes]

    async def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.clock.now += 0.25
            for side in self.sides:
                side.tick()
            await self.delivered()

    async def delivered(self) -> None:
        for side in (*self.sides, *self.sides):
            side.node.turns.turn()

    def connect(self, how: Connection) -> None:
        for side in self.sides:
            side.peer.connection, side.peer.changed_s = how, self.clock.now

    def seen(self) -> None:
        """What the DHT knows of both."""
        self.easy.see(self.hard.tox.dht_id, 5001, 5002, 5003, 5004)
        self.hard.see(self.easy.tox.dht_id, *[self.easy.port] * 3)


@pytest.fixture
async def pair(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    """On a relay; ports that are tried are those that are open."""
    network = Network()
    made = Pair(network)
    await until(lambda: all(side.peer.status_text for side in made.sides))
    await made.pass_s(1)
    made.connect(Connection.TCP)
    monkeypatch.setattr("toxvpn.tox.reach.punch.may_be_public", lambda host: True)

    def ports(random: Random) -> Iterator[int]:
        return iter(made.hard.opened[-3:])

    monkeypatch.setattr(punch, "ports_to_try", ports)
    yield made
    for side in made.sides:
        side.close()
    network.close()


async def test_a_port_that_a_probe_came_through_becomes_a_door(pair: Pair) -> None:
    pair.seen()
    await pair.pass_s(SETTLE_S)
    assert pair.easy.sent == [OpenPorts(None)]
    await until(lambda: pair.hard.tox.doors)
    assert list(pair.hard.tox.doors.values()) == [(HERE, pair.easy.port)]
    assert pair.hard.opened == [], "the others are closed"
    await pair.pass_s(0.25)
    assert (HERE, pair.easy.port, pair.easy.tox.dht_id) in pair.hard.tox.bootstrapped


@pytest.mark.parametrize("connection", [Connection.UDP, Connection.NONE])
async def test_nothing_is_tried_without_a_relay(pair: Pair, connection: Connection) -> None:
    pair.connect(connection)
    pair.seen()
    await pair.pass_s(TRY_S)
    assert not pair.easy.sent and not pair.hard.sent


@pytest.mark.parametrize("ports", [(5001, 5001, 5001), (5001, 5002), ()])
async def test_a_peer_is_asked_only_if_its_router_changes_ports(pair: Pair, ports: tuple[int, ...]) -> None:
    pair.easy.see(pair.hard.tox.dht_id, *ports)
    await pair.pass_s(TRY_S)
    assert pair.easy.sent == []


async def test_who_is_asked_by_one_whose_router_changes_ports_too_opens_nothing(pair: Pair) -> None:
    for side, other in (pair.sides, reversed(pair.sides)):
        side.see(other.tox.dht_id, 5001, 5002, 5003)
    await pair.pass_s(TRY_S)
    assert pair.hard.opened == [] and OpenPorts(None) in pair.easy.sent


async def test_a_peer_that_does_not_answer_is_asked_more_and_more_seldom(pair: Pair) -> None:
    pair.easy.see(pair.hard.tox.dht_id, 5001, 5002, 5003)
    await pair.pass_s(SETTLE_S + 7 * ASK_S)
    assert len(pair.easy.sent) == 4


async def test_who_has_no_udp_opens_nothing_and_says_nothing(pair: Pair) -> None:
    assert pair.hard.tox.udp
    pair.hard.tox.udp.close()
    pair.hard.tox.udp = None
    pair.hard.see(pair.easy.tox.dht_id, 4000, 4000)
    pair.easy.see(pair.hard.tox.dht_id, 5001, 5002, 5003)
    await pair.pass_s(SETTLE_S + 1)
    assert OpenPorts(None) in pair.easy.sent and not pair.hard.sent


async def test_ports_that_no_probe_finds_are_closed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(punch, "ports_to_try", lambda random: iter(()))
    pair.seen()
    await pair.pass_s(SETTLE_S)
    assert len(pair.hard.opened) == punch.OPEN
    await pair.pass_s(OPEN_S)
    assert pair.hard.opened == [] and not pair.hard.tox.doors


async def test_a_wrong_probe_finds_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(punch, "ports_to_try", lambda random: iter(()))
    pair.seen()
    await pair.pass_s(SETTLE_S)
    opening = pair.hard.punch._opening
    assert opening and pair.easy.tox.udp
    at = HERE, pair.hard.opened[0]
    pair.easy.tox.udp.sendto(punch.probe(os.urandom(16)), at)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(punch.probe(opening.token), at)
    await asyncio.sleep(0.01)
    assert not pair.hard.tox.doors
    pair.easy.tox.udp.sendto(punch.probe(opening.token), at)
    await until(lambda: pair.hard.tox.doors)


async def test_probes_go_to_nobody_who_was_not_seen_there(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toxvpn.tox.reach.punch.may_be_public", lambda host: False)
    pair.seen()
    await pair.pass_s(SETTLE_S)
    pair.hard.tox.send_lossy(pair.hard.peer.number, punch.encode(OpenPorts(bytes(16))))
    await pair.delivered()
    assert pair.easy.punch._probing is None


async def test_a_peer_that_always_says_open_has_us_probe_seldom(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(punch, "ports_to_try", lambda random: iter([pair.easy.port]))
    pair.seen()
    pair.easy.tick()
    probed = 0
    for _ in range(100):
        pair.clock.now += 1
        pair.hard.tox.send_lossy(pair.hard.peer.number, punch.encode(OpenPorts(bytes(16))))
        await pair.delivered()
        if pair.easy.punch._probing is not None:
            probed += 1
            pair.easy.punch.close()
            pair.easy.punch._probing = None
    assert probed == 3  # after 0, 20 and 60 s


async def test_many_peers_together_have_us_probe_no_more(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(punch, "ports_to_try", lambda random: iter([pair.easy.port]))
    probed, seconds = 0, 100
    for _ in range(seconds):
        pair.easy.punch._known.clear()  # as if it were another peer
        pair.seen()
        pair.easy.tick()
        pair.clock.now += 1
        pair.hard.tox.send_lossy(pair.hard.peer.number, punch.encode(OpenPorts(bytes(16))))
        await pair.delivered()
        if pair.easy.punch._probing is not None:
            probed += 1
            pair.easy.punch.close()
            pair.easy.punch._probing = None
    assert 10 < probed <= ALL_TRIES_AT_ONCE + seconds * ALL_TRIES_PER_S


async def test_a_peer_that_always_asks_has_us_open_seldom(pair: Pair) -> None:
    pair.seen()
    pair.hard.tick()
    opened = 0
    for _ in range(40):
        pair.clock.now += 1
        pair.easy.tox.send_lossy(pair.easy.peer.number, punch.encode(OpenPorts(None)))
        await pair.delivered()
        opened += bool(pair.hard.opened)
        pair.hard.punch._shut()
    assert opened <= 5


async def test_a_door_that_leads_nowhere_is_closed(pair: Pair) -> None:
    pair.seen()
    await pair.pass_s(SETTLE_S)
    await until(lambda: pair.hard.tox.doors)
    pair.connect(Connection.UDP)
    await pair.pass_s(2 * KEEP_S)
    assert pair.hard.tox.doors
    pair.connect(Connection.NONE)
    await pair.pass_s(KEEP_S + 1)
    assert not pair.hard.tox.doors


async def test_a_peer_that_moves_leaves_no_door_behind(pair: Pair) -> None:
    for port in (7, 8, 9):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        pair.hard.punch._pass_through(one, _Opening(pair.hard.peer, (HERE, port), b"", 0.0), pair.clock.now)
    assert list(pair.hard.tox.doors.values()) == [(HERE, 9)]


async def test_a_peer_that_is_removed_takes_its_door_along(pair: Pair) -> None:
    pair.seen()
    await pair.pass_s(SETTLE_S)
    await until(lambda: pair.hard.tox.doors)
    pair.hard.node.remove(pair.hard.peer)
    assert not pair.hard.tox.doors


async def test_nonsense_is_ignored(pair: Pair) -> None:
    pair.easy.tox.send_lossy(pair.easy.peer.number, bytes([punch.PACKET_ID, 3]))
    await pair.delivered()
    assert not pair.hard.sent


def test_a_pause_is_twice_the_one_before() -> None:
    pause = Pause(2, 6)
    assert pause.is_over(0)
    lengths = []
    for _ in range(3):
        pause.begin(100)
        lengths.append(next(s for s in range(100) if pause.is_over(100 + s)))
    assert lengths == [2, 4, 6]
    pause.reset()
    pause.begin(200)
    assert pause.is_over(202)


async def test_on_a_relay_both_look_where_the_dht_saw_the_other_last_again_and_again(pair: Pair) -> None:
    asked: list[tuple[str, int]] = []
    pair.easy.recovery.ask_at = lambda peer, place: asked.append(place)  # type: ignore[method-assign]
    pair.easy.see(pair.hard.tox.dht_id, 7001, 7001, 7001)
    await pair.pass_s(SETTLE_S + LOOK_AGAIN_S)
    assert (HERE, 7001) in asked
    pair.easy.tox.told_places.append((pair.hard.tox.dht_id, (HERE, 7002), ("198.51.100.9", 33445)))
    asked.clear()
    await pair.pass_s(200)
    assert 200 / LOOK_SELDOM_S <= asked.count((HERE, 7002)) <= 200 / LOOK_SELDOM_S + 4
    pair.connect(Connection.UDP)
    await pair.pass_s(1)
    asked.clear()
    await pair.pass_s(60)
    assert asked == []
