"""The metrics of a run: what the parts have counted arrives, also of peers that have left."""

from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from toxvpn.report.collector import Collector
from toxvpn.tcpforward.tuntox.road import TuntoxRoad
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.fake_status import idle
from toxvpn.wire.tuntox.frames import PACKET_ID, FrameDrop

NONSENSE = bytes([PACKET_ID, 1])


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


async def test_drops_stay_counted_when_the_peer_leaves(network: Network) -> None:
    sender, receiver = network.pair()
    road = TuntoxRoad(receiver)
    peer = sender.peer(receiver.tox.public_key)
    assert peer is not None
    for expected in (1, 2):
        await until(lambda: peer.online)
        sender.send_lossless(peer, NONSENSE)
        await until(lambda expected=expected: road.drops() == {FrameDrop.TOO_SHORT: expected})  # type: ignore[misc]
        network.tox.set_online(False)
        await until(lambda: not any(each.online for each in (*sender, *receiver)))
        assert road.drops() == {FrameDrop.TOO_SHORT: expected}
        network.tox.set_online(True)
    await road.close()


async def test_the_text_has_what_the_parts_count(network: Network) -> None:
    sender, receiver = network.pair()
    road = TuntoxRoad(receiver)
    collector = Collector(idle, road)
    [peer] = sender
    sender.send_lossless(peer, NONSENSE)
    await until(road.drops)
    families = {family.name: family for family in text_string_to_metric_families(collector.text())}
    [sample] = families["toxvpn_tunnel_dropped_packets"].samples
    assert (sample.labels, sample.value) == ({"reason": "too_short"}, 1.0)
    assert families["toxvpn_build_info"].samples[0].labels["libtoxcore"]
    await road.close()
