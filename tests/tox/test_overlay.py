"""Tables follow the peers, also when toxcore gives their numbers to others."""

from collections.abc import AsyncIterator
from typing import cast

import pytest

from toxvpn._native.path.datapath import Datapath
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.fake_tables import FakeTables
from toxvpn.tox.overlay import Overlay
from toxvpn.wire.addressing import overlay_ipv6


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


async def test_a_peer_comes_and_goes(network: Network) -> None:
    left, right = network.pair()
    tables = FakeTables()
    overlay = Overlay(cast(Datapath, tables))
    left.subscribe(overlay.on_event)
    peer = left.peer(right.tox.public_key)
    assert peer is not None
    await until(lambda: peer.online)
    overlay.add(peer)
    address = overlay_ipv6(peer.public_key)
    assert tables.routes == tables.sources == {address: peer.number}
    assert tables.online == {peer.number}
    assert overlay.peer_at(address) is peer
    network.tox.set_online(False)
    await until(lambda: not tables.online)
    assert tables.routes == {address: peer.number}, "its packets are dropped as offline, not as unknown"
    left.remove(peer)
    assert tables.routes == tables.sources == {}
    assert overlay.peer_at(address) is None


async def test_a_peer_gets_bundles_while_its_status_says_that_it_takes_them(network: Network) -> None:
    left, right = network.pair()
    right.tox.status_message = b'{"toxvpn":{"v":1,"bundles":true}}'
    tables = FakeTables()
    overlay = Overlay(cast(Datapath, tables))
    peer = left.peer(right.tox.public_key)
    assert peer is not None
    await until(lambda: bool(peer.status_text))
    overlay.add(peer)
    left.subscribe(overlay.on_event)
    assert tables.bundles == {peer.number}
    right.tox.status_message = b'{"toxvpn":{"v":1}}'
    await until(lambda: not tables.bundles)
    right.tox.status_message = b'{"toxvpn":{"v":1,"bundles":true}}'
    await until(lambda: tables.bundles == {peer.number})
    network.tox.set_online(False)
    await until(lambda: not tables.online)
    assert tables.bundles == set(), "it may come back as an older program"


async def test_a_number_that_changes_hands_never_serves_two(network: Network) -> None:
    node = network.node()
    tables = FakeTables()
    overlay = Overlay(cast(Datapath, tables))
    node.subscribe(overlay.on_event)
    first = node.accept(b"\x01" * 32)
    second_tox = network.node().tox
    second = node.reach(second_tox.address, b"hi")
    for peer in (first, second):
        overlay.add(peer)
    assert second.number == 1
    node.remove(first)
    node.reach(second_tox.address, b"hi")  # now gets number 0, which was the first one's
    assert second.number == 0
    third = node.accept(b"\x03" * 32)
    overlay.add(third)
    assert third.number == 1, "which was the second one's"
    assert tables.routes == {
        overlay_ipv6(second.public_key): 0,
        overlay_ipv6(third.public_key): 1,
    }
    assert tables.sources == tables.routes
