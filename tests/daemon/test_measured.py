"""Round trips of peers: by probes, or by tuntox's ping where the peer knows no probes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from toxvpn.daemon import measured as module
from toxvpn.daemon.measured import Measured
from toxvpn.errors import PeerOfflineError
from toxvpn.tcpforward.tuntox.road import TuntoxRoad
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox.mtuprober import MtuProber
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import Peer


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


def there(node: Node, other: Node) -> Peer:
    peer = node.peer(other.tox.public_key)
    assert peer is not None
    return peer


async def test_a_peer_that_knows_probes_is_measured_by_them(network: Network) -> None:
    left, right = network.pair()
    probers = [MtuProber(node, OwnStatus(node)) for node in (left, right)]
    road = TuntoxRoad(left)
    found, peer = Measured(left, probers[0], road), there(left, right)
    await until(lambda: found.rtt_s(peer.public_key) is not None)
    assert found.loss(peer.public_key) in (None, 0)
    road.link(peer).rtt_s = 70.0
    assert found.rtt_s(peer.public_key) != 70.0
    await road.close()


async def test_a_tuntox_program_is_pinged_if_it_ever_answered(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PING_S", 0.01)
    left, right = network.pair()
    road, there_too = TuntoxRoad(left), TuntoxRoad(right)
    found, peer = Measured(left, MtuProber(left, OwnStatus(left)), road), there(left, right)
    await until(lambda: peer.online)
    asked: list[Peer] = []
    ping = road.ping

    async def noted(peer: Peer) -> float:
        asked.append(peer)
        if len(asked) == 1:
            raise PeerOfflineError("it just went")
        return await ping(peer)

    road.ping = noted  # type: ignore[method-assign]
    with found.pinging():
        await asyncio.sleep(0.05)
        assert not asked, "it may be one that knows no pings"
        assert found.rtt_s(peer.public_key) is None
        await ping(peer)
        link = road.link(peer)
        link.rtt_s = 70.0
        await until(lambda: link.rtt_s != 70.0)
    assert found.rtt_s(peer.public_key) == link.rtt_s and found.loss(peer.public_key) is None
    await road.close()
    await there_too.close()
