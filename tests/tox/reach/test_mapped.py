"""Peers tell each other the endpoint at their router, which is tried within bounds; on a fake network."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.fake_tox import FakeTox
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import Peer
from toxvpn.tox.reach.mapped import TELLS, MappedEndpoints
from toxvpn.tox.reach.recovery import MAPPINGS_AT_ONCE, SEEK_S, Recovery
from toxvpn.wire.reach import mapped

OUTER, OTHER = ("203.0.113.77", 40000), ("203.0.113.78", 40001)


class Side:
    """A node that tells and tries; `asked` gives where it has asked since the last look."""

    def __init__(self, network: Network, node: Node) -> None:
        self.node = node
        self.fake: FakeTox = network.fake(node)
        self.now = 1000.0
        node.turns._tick = lambda now: None
        node.now = lambda: self.now
        self.recovery = Recovery(node)
        self.drops: Counter[str] = Counter()
        self.endpoints = MappedEndpoints(node, self.recovery, self.drops)
        self.told: list[bytes] = []
        OwnStatus(node)
        send = self.fake.send_lossy

        def noted(number: int, data: bytes | bytearray | memoryview) -> object:
            if data[0] == mapped.PACKET_ID:
                self.told.append(bytes(data))
            return send(number, data)

        self.fake.send_lossy = noted  # type: ignore[method-assign, assignment]

    @property
    def peer(self) -> Peer:
        [peer] = self.node
        return peer

    def asked(self) -> list[tuple[str, int]]:
        asked, self.fake.bootstrapped[:] = [(host, port) for host, port, _ in self.fake.bootstrapped], []
        return asked


class Pair:
    """Connected, the left one over a relay as far as both know. `pass_s` has both tick."""

    def __init__(self, network: Network) -> None:
        self.left, self.right = (Side(network, node) for node in network.pair())

    def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            for side in (self.left, self.right):
                side.now += 0.25
                for call in side.node.each_tick:
                    call(side.now)
                side.node.turns.turn()
            self.left.node.turns.turn()

    def relayed(self) -> None:
        for side in (self.left, self.right):
            side.peer.connection = Connection.TCP


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    network = Network()
    made = Pair(network)
    await until(lambda: made.left.peer.status_text and made.right.peer.status_text)
    made.pass_s(1)
    made.relayed()
    made.right.asked()
    yield made
    for side in (made.left, made.right):
        side.recovery.close()
    network.close()


async def test_a_peer_is_told_and_asks_there(pair: Pair) -> None:
    pair.left.endpoints.own_is(OUTER)
    pair.pass_s(60)
    assert pair.left.told == [mapped.encode(OUTER)] * TELLS
    asked = pair.right.asked().count(OUTER)
    assert SEEK_S <= asked <= SEEK_S + 1, "and only for a while"


async def test_who_is_directly_connected_is_told_once_and_asks_nothing(pair: Pair) -> None:
    for side in (pair.left, pair.right):
        side.peer.connection = Connection.UDP
    pair.left.endpoints.own_is(OUTER)
    pair.pass_s(10)
    pair.left.endpoints.own_is(OUTER)
    pair.pass_s(10)
    assert len(pair.left.told) == TELLS and pair.right.asked() == []


async def test_after_a_renewal_who_has_no_direct_path_tries_again(pair: Pair) -> None:
    pair.left.endpoints.own_is(OUTER)
    pair.pass_s(60)
    pair.right.asked()
    pair.left.endpoints.own_is(OUTER)
    pair.pass_s(60)
    assert OUTER in pair.right.asked()


async def test_an_endpoint_that_has_gone_is_not_tried(pair: Pair) -> None:
    pair.left.endpoints.own_is(OUTER)
    pair.pass_s(1)
    pair.left.endpoints.own_is(None)
    pair.pass_s(5)
    pair.right.asked()
    pair.pass_s(20)
    assert OUTER not in pair.right.asked()
    pair.left.told.clear()
    pair.left.endpoints.own_is(None)
    pair.pass_s(5)
    assert pair.left.told == []


async def test_a_peer_that_names_ever_other_endpoints_has_few_of_them_tried(pair: Pair) -> None:
    """Each costs whoever is named a few datagrams; a peer is not to aim them at many."""
    for number in range(50):
        pair.right.recovery.mapped(pair.right.peer, ("203.0.113.79", 1000 + number))
        pair.pass_s(0.5)
    assert len(set(pair.right.asked())) <= MAPPINGS_AT_ONCE + 1


@pytest.mark.parametrize("packet", [b"\xce", mapped.encode(("192.168.0.1", 1)), mapped.encode(OUTER) + b"\0"])
async def test_what_names_no_endpoint_is_dropped_and_counted(pair: Pair, packet: bytes) -> None:
    pair.left.fake.send_lossy(pair.left.peer.number, packet)
    pair.pass_s(20)
    assert pair.right.asked() == [] and pair.right.drops == {"endpoint": 1}


async def test_who_connects_later_is_told(pair: Pair) -> None:
    pair.left.endpoints.own_is(OUTER)
    pair.pass_s(10)
    pair.left.told.clear()
    pair.left.node.on_friend_status_message(pair.left.peer.number, pair.left.peer.status_text or b"")
    pair.pass_s(10)
    assert pair.left.told == [mapped.encode(OUTER)] * TELLS


async def test_a_program_that_is_none_of_ours_is_told_nothing(pair: Pair) -> None:
    pair.left.peer.status_text = b"tuntox"
    pair.left.endpoints.own_is(OUTER)
    pair.pass_s(10)
    assert pair.left.told == []
