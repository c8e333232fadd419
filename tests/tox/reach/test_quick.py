"""A peer's own relay is named, connected to and preferred while the peer is on relays; on fake ones."""

from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from toxvpn._native.results import Connection
from toxvpn.errors import ToxvpnError
from toxvpn.testing.fake_nodes import Network
from toxvpn.tox.events import PeerConnection
from toxvpn.tox.peer import Peer
from toxvpn.tox.reach import quick
from toxvpn.tox.reach.quick import NAMES_AT_ONCE, QuickRelays
from toxvpn.wire.reach.introduction import NodeAt

PEERS_KEY = b"p" * 32
PEERS = NodeAt("192.0.2.7", 443, PEERS_KEY, relay=True)
STRANGERS = NodeAt("192.0.2.8", 443, b"s" * 32, relay=True)


class Side:
    """A node whose only peer is on a relay, and has told of two."""

    def __init__(self, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node, _ = network.pair()
        self.fake = network.fake(self.node)
        self.peer: Peer = next(iter(self.node))
        self.peer.connection = Connection.TCP
        self.named: list[list[NodeAt]] = []
        self.keys: dict[bytes, bytes] = {self.peer.public_key: PEERS_KEY}
        self.told: tuple[NodeAt, ...] = (STRANGERS, PEERS)
        self.places: dict[int, tuple[str, int]] = {}
        self.looks = 0
        monkeypatch.setattr(quick, "places_of_relays", self._look)
        self.now = 100.0
        self.node.each_tick.clear()
        recovery = SimpleNamespace(dht_key=lambda peer: self.keys.get(peer.public_key))
        reunion = SimpleNamespace(
            relays_of=lambda peer: self.told, name_relays=lambda peer, relays: self.named.append(relays)
        )
        self.quick = QuickRelays(self.node, recovery, reunion)  # type: ignore[arg-type]

    def _look(self, tox: object) -> dict[int, tuple[str, int]]:
        self.looks += 1
        return self.places

    def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            for call in self.node.each_tick:
                call(self.now)


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    network = Network()
    yield network
    network.close()


@pytest.fixture
async def side(network: Network, monkeypatch: pytest.MonkeyPatch) -> Side:
    return Side(network, monkeypatch)


def relay_at(side: Side, relay: NodeAt) -> bytes | None:
    return side.node.relays.get((relay.host, relay.port))


async def test_a_peers_own_relay_is_named_and_connected_to(side: Side) -> None:
    side.pass_s(1)
    assert side.fake.called == [side.peer.number]
    assert side.named == [[PEERS]]
    assert side.fake.bootstrapped == [(PEERS.host, PEERS.port, PEERS_KEY)]
    assert relay_at(side, PEERS) == PEERS_KEY and relay_at(side, STRANGERS) is None


async def test_no_more_once_it_carries(side: Side) -> None:
    side.fake.has_quick = True
    side.pass_s(5)
    assert not side.named and len(side.fake.called) == 5


async def test_a_relay_that_is_not_reached_is_tried_a_few_times(side: Side) -> None:
    side.pass_s(30)
    assert len(side.named) == NAMES_AT_ONCE
    assert list(side.node.relays) == [(PEERS.host, PEERS.port)]
    side.pass_s(61)
    assert len(side.named) == NAMES_AT_ONCE + 1


async def test_a_peer_that_comes_and_goes_has_no_more_tries(side: Side) -> None:
    for _ in range(2 * NAMES_AT_ONCE):
        side.pass_s(1)
        gone = PeerConnection(replace(side.peer, connection=Connection.NONE), Connection.TCP)
        side.quick._on_event(gone)
    assert len(side.named) == NAMES_AT_ONCE


async def test_a_relay_of_our_own_is_named_too(side: Side) -> None:
    side.fake.relay_port, side.told = 443, ()
    own = NodeAt("127.0.0.1", 443, side.fake.dht_id, relay=True)
    side.pass_s(1)
    assert side.named == [[own]]
    assert not side.node.relays, "nobody else is told of it"


async def test_the_peers_relay_and_ours_are_the_quick_ones(side: Side) -> None:
    side.fake.relay_port = 443
    side.node.relays.update({(each.host, each.port): each.dht_key for each in (PEERS, STRANGERS)})
    hosts = ("192.0.2.7", "192.0.2.8", "192.0.2.9", "127.0.0.1")
    side.places = {fd: (host, 443) for fd, host in enumerate(hosts, 7)}
    side.pass_s(1)
    assert side.fake.ranks == {7: True, 8: False, 9: False, 10: True}


async def test_sockets_are_looked_at_once_for_all_peers(side: Side) -> None:
    """A relay has one for each of its clients, who may be any."""
    other = side.node.accept(b"o" * 32)
    other.connection = Connection.TCP
    side.pass_s(1)
    assert side.fake.called == [side.peer.number, other.number]
    assert side.looks == 1


async def test_a_peer_that_is_reached_directly_is_not_called(side: Side) -> None:
    side.peer.connection = Connection.UDP
    side.pass_s(3)
    assert not side.fake.called and not side.named


async def test_a_peer_that_does_not_tell_its_key_has_no_relay(side: Side) -> None:
    side.keys.clear()
    side.pass_s(3)
    assert not side.named and not side.node.relays


async def test_what_a_peer_told_is_forgotten_when_it_goes(side: Side) -> None:
    side.pass_s(1)
    side.peer.connection = Connection.NONE
    side.quick._on_event(PeerConnection(side.peer, Connection.TCP))
    assert not side.node.relays


async def test_what_toxcore_refuses_is_not_kept(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: str, port: int, key: bytes) -> None:
        raise ToxvpnError("no address")

    monkeypatch.setattr(side.fake, "add_tcp_relay", refuse)
    side.pass_s(1)
    assert not side.node.relays


async def test_a_peer_cannot_replace_a_relay_that_is_known(side: Side) -> None:
    side.node.relays[PEERS.host, PEERS.port] = STRANGERS.dht_key
    side.pass_s(1)
    assert not side.named and relay_at(side, PEERS) == STRANGERS.dht_key
    side.node.relays[PEERS.host, PEERS.port] = PEERS_KEY
    side.pass_s(1)
    assert side.named == [[PEERS]]
    side.quick._on_event(PeerConnection(replace(side.peer, connection=Connection.NONE), Connection.TCP))
    assert relay_at(side, PEERS) == PEERS_KEY, "it was in the list of nodes"


async def test_a_node_of_the_list_stays_known_when_a_peer_goes_that_claimed_its_place(side: Side) -> None:
    side.pass_s(1)
    side.node.relays[PEERS.host, PEERS.port] = STRANGERS.dht_key  # it is asked only now
    side.quick._on_event(PeerConnection(replace(side.peer, connection=Connection.NONE), Connection.TCP))
    assert relay_at(side, PEERS) == STRANGERS.dht_key


async def test_a_peer_cannot_take_the_place_of_anothers_relay(side: Side) -> None:
    other = replace(side.peer, public_key=b"o" * 32)
    side.keys[other.public_key] = b"x" * 32
    side.told = (replace(PEERS, dht_key=b"x" * 32),)
    side.quick._name(other, side.now)
    side.named.clear()
    side.told, side.places = (PEERS,), {7: (PEERS.host, PEERS.port)}
    side.pass_s(2)
    assert side.named == [[PEERS]] * 2
    assert side.fake.ranks == {7: True}
    side.quick._forget(other)
    side.pass_s(1)
    assert relay_at(side, PEERS) == PEERS_KEY
