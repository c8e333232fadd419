"""Peers that have met before: what a node keeps, tells, and introduces; also with real toxcores."""

import socket
import time
from collections.abc import AsyncIterator

import pytest

from toxvpn._native.options import Options
from toxvpn._native.results import Connection
from toxvpn._native.toxcore import Tox
from toxvpn.testing.fake_nodes import Network, Once, until
from toxvpn.testing.hooked import set_time
from toxvpn.tox.events import PeerStatus
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.reach.met import Met, MetBook
from toxvpn.tox.reach.recovery import Recovery
from toxvpn.tox.reach.reunion import (
    AHEAD_S,
    BACK_AGAIN_S,
    BACK_S,
    COMPARE_S,
    PEERS_AT_ONCE,
    TELLS,
    TIMES,
    Reunion,
)
from toxvpn.wire import statusmessage
from toxvpn.wire.reach import introduction, relaylist, whereabouts
from toxvpn.wire.reach.introduction import NodeAt
from toxvpn.wire.reach.whereabouts import Whereabouts

NOW_S = 1.7e9
RELAY = NodeAt("192.0.2.9", 443, bytes(range(32)), relay=True)
THERE = Met(bytes(32), (("192.0.2.1", 33445),), (RELAY,), NOW_S)


class Side:
    """A node with all that a reunion needs; `saves` counts the saves that it asks for."""

    def __init__(self, network: Network, node: Node, book: MetBook | None = None) -> None:
        self.node = node
        self.fake = network.fake(node)
        self.saves = 0
        self.book = book or MetBook()
        node.turns._tick = lambda now: None
        self.now = 1000.0
        node.now = lambda: self.now
        self.recovery = Recovery(node)
        OwnStatus(node)
        self.reunion = Reunion(node, self.recovery, self.book, self._save, lambda: NOW_S)

    def _save(self) -> None:
        self.saves += 1

    def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.now += 0.25
            for call in self.node.each_tick:
                call(self.now)
            self.node.turns.turn()


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    network = Network()
    yield network
    network.close()


async def pair(network: Network, monkeypatch: pytest.MonkeyPatch) -> tuple[Side, Side]:
    """Connected, each on the same relay."""
    monkeypatch.setattr("toxvpn.tox.reach.reunion.connected_relays", lambda tox, known: iter([RELAY]))
    left, right = (Side(network, node) for node in network.pair())
    await until(lambda: all(peer.status_text for side in (left, right) for peer in side.node))
    for _ in range(8):
        for side in (left, right):
            side.pass_s(1)
    return left, right


async def test_connected_peers_are_kept_with_their_places_and_relays(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = await pair(network, monkeypatch)
    place = left.fake.source
    assert place is not None
    key = right.fake.public_key
    assert left.book.get(key) == Met(right.fake.dht_id, (place,), (RELAY,), NOW_S)
    assert (left.saves, right.saves) == (1, 1)
    left.pass_s(60)
    assert left.saves == 1, "nothing new"
    for side in (left, right):
        side.recovery.close()


async def test_peers_are_told_of_relays_a_few_times_and_again_when_they_change(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = await pair(network, monkeypatch)
    told: list[bytes] = []
    send = left.fake.send_lossy

    def noted(number: int, data: bytes | bytearray | memoryview) -> object:
        if data[0] == relaylist.PACKET_ID:
            told.append(bytes(data))
        return send(number, data)

    left.fake.send_lossy = noted  # type: ignore[method-assign, assignment]
    left.pass_s(60)
    assert told == []
    monkeypatch.setattr("toxvpn.tox.reach.reunion.connected_relays", lambda tox, known: iter([RELAY] * 2))
    left.pass_s(60)
    assert told == [relaylist.encode([RELAY] * 2)] * TELLS
    for side in (left, right):
        side.recovery.close()


async def over_relays(network: Network, monkeypatch: pytest.MonkeyPatch) -> tuple[Side, Side]:
    left, right = await pair(network, monkeypatch)
    for side in (left, right):
        side.fake.introduced.clear()
    return left, right


async def test_where_all_relays_to_a_peer_are_gone_both_toxcores_are_told_of_the_same(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = await over_relays(network, monkeypatch)
    other = NodeAt("192.0.2.10", 443, bytes(32), relay=True)
    right.reunion._receive(next(iter(right.node)), relaylist.encode([other]))
    left.reunion._own_relays = (other,)
    monkeypatch.setattr("toxvpn.tox.reach.reunion.connected_relays", lambda tox, known: iter([]))
    for side in (left, right):
        side.pass_s(2 * COMPARE_S)
        assert side.fake.introduced == []
        for call in side.recovery.without_relay:
            call(next(iter(side.node)))
    number = round(NOW_S) + AHEAD_S + 1
    assert left.fake.introduced == [
        (right.fake.public_key, introduction.encode(number, right.fake.dht_id, [other, RELAY]))
    ]
    assert right.fake.introduced == [
        (left.fake.public_key, introduction.encode(number, left.fake.dht_id, [other, RELAY]))
    ]
    for side in (left, right):
        side.recovery.close()


async def test_each_time_by_a_larger_number_and_for_a_lost_peer_not_at_all(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = await over_relays(network, monkeypatch)
    peer = next(iter(left.node))
    for _ in range(3):
        left.recovery.without_relay[0](peer)
    number = round(NOW_S) + AHEAD_S
    content = [introduction.encode(number + n, right.fake.dht_id, [RELAY]) for n in (1, 2, 3)]
    assert [packet for _, packet in left.fake.introduced] == content
    left.node.on_friend_connection(peer.number, Connection.NONE)
    left.node.turns.turn()
    left.recovery.without_relay[0](peer)
    assert len(left.fake.introduced) == 3, "the number of the next introduction is for who is offline"
    for side in (left, right):
        side.recovery.close()


async def test_at_the_start_toxcore_is_introduced_to_peers_that_were_met(network: Network) -> None:
    key, stranger = network.node().tox.public_key, network.node().tox.public_key
    side = Side(network, network.node(friends=[key]), MetBook([(key, THERE), (stranger, THERE)]))
    for peer in side.node:
        peer.connection = Connection.NONE
    side.pass_s(60)
    nodes = [NodeAt("192.0.2.1", 33445, THERE.dht_key), RELAY]
    expected = [
        introduction.encode(n, THERE.dht_key, nodes if n % 2 else nodes[::-1]) for n in range(1, TIMES + 1)
    ]
    assert side.fake.introduced == [(key, content) for content in expected], "and to nobody that is no friend"
    side.recovery.close()


async def test_many_peers_are_introduced_by_and_by(network: Network) -> None:
    keys = [bytes([number]) * 32 for number in range(1, 41)]
    side = Side(network, network.node(friends=keys), MetBook((key, THERE) for key in keys))
    side.pass_s(0.25)
    assert len(side.fake.introduced) == PEERS_AT_ONCE
    side.pass_s(60)
    assert sorted({key for key, _ in side.fake.introduced}) == keys
    side.recovery.close()


async def test_each_of_many_peers_is_looked_for_where_it_was_and_over_its_relays(network: Network) -> None:
    """By turns: an introduction has room for four nodes."""
    keys = [bytes([number]) * 32 for number in range(1, 2 * PEERS_AT_ONCE + 1)]
    side = Side(network, network.node(friends=keys), MetBook((key, THERE) for key in keys))
    side.pass_s(60)
    contents = {key: [content for to, content in side.fake.introduced if to == key] for key in keys}
    assert all(introduced == contents[keys[0]] for introduced in contents.values())
    assert len(contents[keys[0]]) == TIMES
    side.recovery.close()


async def test_when_the_network_is_back_who_was_lost_is_introduced_for_some_time(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By numbers above all that its own announcements had until it was lost."""
    left, right = await over_relays(network, monkeypatch)
    left.node.on_friend_connection(next(iter(left.node)).number, Connection.NONE)
    left.node.turns.turn()
    left.pass_s(60)
    assert left.fake.introduced == []
    for call in left.node.after_silence:
        call()
    left.pass_s(60)
    met = left.book.get(right.fake.public_key)
    assert met is not None
    places = [NodeAt(*place, met.dht_key) for place in met.places]
    either = [*places, RELAY], [RELAY, *places]
    number = round(NOW_S) + AHEAD_S + 1
    count = len(left.fake.introduced)
    expected = [introduction.encode(number + n, met.dht_key, either[n % 2]) for n in range(count)]
    assert [packet for _, packet in left.fake.introduced] == expected
    assert BACK_S / BACK_AGAIN_S - 1 <= count <= BACK_S / BACK_AGAIN_S + 1
    for side in (left, right):
        side.recovery.close()


async def test_who_is_connected_is_not_introduced(network: Network) -> None:
    left, right = network.pair()
    side = Side(network, left, MetBook([(right.tox.public_key, THERE)]))
    await until(lambda: all(peer.online for peer in left))
    side.pass_s(10)
    assert side.fake.introduced == []
    side.recovery.close()


# -- real toxcores -----------------------------------------------------------------------------------

LOCAL = Options(ipv6=False, local_discovery=False)


class Pair:
    """Two toxcores that are friends, know of no other node, and have a clock of their own."""

    def __init__(self) -> None:
        self._now_ns = time.monotonic_ns()
        set_time(self._now_ns)
        self.here, self.there = (Node(Tox(LOCAL), Once([])) for _ in range(2))
        self.here.accept(self.there.tox.public_key)
        self.there.accept(self.here.tox.public_key)

    def introduce(self, number: int, dht_key: bytes) -> None:
        at = NodeAt("127.0.0.1", self.there.tox.udp_port, dht_key)
        content = introduction.encode(number, dht_key, [at])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            for datagram in self.here.tox.introductions(self.there.tox.public_key, content):
                own.sendto(datagram, ("127.0.0.1", self.here.tox.udp_port))

    def turn(self) -> None:
        self._now_ns += 50_000_000
        set_time(self._now_ns)
        for node in (self.here, self.there):
            node.turns.turn()

    def connected_after_s(self, limit_s: float) -> float | None:
        for turn in range(round(limit_s / 0.05)):
            self.turn()
            if all(peer.online for node in (self.here, self.there) for peer in node):
                return turn * 0.05
        return None

    def close(self) -> None:
        set_time(None)
        self.here.close()
        self.there.close()


@pytest.fixture
async def real() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    made.close()


async def test_a_real_toxcore_connects_to_a_friend_that_it_is_introduced_to(real: Pair) -> None:
    assert real.connected_after_s(5) is None, "nobody else could have told it"
    real.introduce(1, real.there.tox.dht_id)
    took_s = real.connected_after_s(10)
    assert took_s is not None
    assert took_s <= 3


async def test_a_key_of_yesterday_is_replaced_by_the_next_one(real: Pair) -> None:
    real.introduce(1, bytes(range(32)))
    assert real.connected_after_s(5) is None
    real.introduce(1, real.there.tox.dht_id)
    assert real.connected_after_s(5) is None, "toxcore takes larger numbers only"
    real.introduce(2, real.there.tox.dht_id)
    assert real.connected_after_s(20) is not None


async def test_only_the_friends_own_node_can_be_introduced(real: Pair) -> None:
    """Whoever has another secret key cannot make what would pass for the friend's."""
    other = Tox(LOCAL)
    content = introduction.encode(1, real.there.tox.dht_id, [])
    datagrams = other.introductions(real.there.tox.public_key, content)
    assert datagrams
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        for datagram in datagrams:
            own.sendto(datagram, ("127.0.0.1", real.here.tox.udp_port))
    assert real.connected_after_s(5) is None
    other.close()


async def test_a_connected_friends_introduction_counts_if_its_number_is_above_those_of_its_own(
    real: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """toxcore connects to the relay that is named, at once."""
    real.introduce(1, real.there.tox.dht_id)
    assert real.connected_after_s(10) is not None
    book = MetBook()
    recovery = Recovery(real.here)
    reunion = Reunion(real.here, recovery, book, lambda: None)
    peer = next(iter(real.here))
    recovery._receive(peer, whereabouts.encode(Whereabouts(real.there.tox.dht_id)))
    reunion._on_event(
        PeerStatus(
            peer, statusmessage.encode(statusmessage.Status(toxvpn=statusmessage.ToxvpnStatus(version="1")))
        )
    )
    real.introduce(round(time.time()), real.there.tox.dht_id)  # as the friend's own toxcore numbers them
    with socket.create_server(("127.0.0.1", 0)) as relay:
        relay.setblocking(False)
        reunion._relays_of[peer.public_key] = (
            NodeAt("127.0.0.1", relay.getsockname()[1], bytes(range(32)), relay=True),
        )
        recovery.without_relay[0](peer)
        for _ in range(40):
            real.turn()
        relay.accept()[0].close()
    recovery.close()


def test_what_is_told_is_bounded() -> None:
    tox = Tox(LOCAL)
    assert tox.introductions(bytes(range(32)), bytes(513)) == []
    assert 1 <= len(tox.introductions(bytes(range(32)), bytes(512))) <= 8
    tox.close()
