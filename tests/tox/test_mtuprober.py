"""Two nodes of ours ask each other how much the path carries; what they find reaches the tables."""

from collections.abc import AsyncIterator
from typing import cast

import pytest

from toxvpn._native.path.datapath import Datapath
from toxvpn._native.results import SendResult
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.fake_tables import FakeTables
from toxvpn.tox.events import Event, PeerPacketSize
from toxvpn.tox.mtuprober import ANSWERS_AT_ONCE, LOOK_BYTES, MtuProber
from toxvpn.tox.node import Node
from toxvpn.tox.overlay import Overlay
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import Peer
from toxvpn.wire import pathmtu
from toxvpn.wire.ip import CUSTOM_PACKET_BYTES
from toxvpn.wire.pathmtu import Probe, ProbeKind
from toxvpn.wire.roundtrips import RoundTrips

NARROW = 1221


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


def there(node: Node, other: Node) -> Peer:
    peer = node.peer(other.tox.public_key)
    assert peer is not None
    return peer


async def asking(left: Node, right: Node) -> tuple[Peer, MtuProber]:
    """Both probe; the left one's view, once its search is over."""
    prober, _ = [MtuProber(node, OwnStatus(node)) for node in (left, right)]
    peer = there(left, right)
    await until(lambda: prober.settled(peer))
    return peer, prober


async def test_a_wide_path_stays_as_it_is(network: Network) -> None:
    left, right = network.pair()
    events: list[Event] = []
    left.subscribe(events.append)
    peer, _ = await asking(left, right)
    assert peer.packet_bytes == CUSTOM_PACKET_BYTES
    assert not any(isinstance(event, PeerPacketSize) for event in events)


async def test_a_narrow_path_reaches_the_tables(network: Network) -> None:
    left, right = network.pair()
    network.fake(left).path_bytes = NARROW + 3
    tables = FakeTables()
    overlay = Overlay(cast(Datapath, tables))
    left.subscribe(overlay.on_event)
    overlay.add(there(left, right))
    peer, _ = await asking(left, right)
    await until(lambda: peer.packet_bytes == NARROW)
    assert tables.mtu == {peer.number: NARROW - 5}
    overlay.set_peer_mtu(peer.public_key, 1000)
    assert tables.mtu == {peer.number: 1000}, "the peer takes less than the path"
    assert there(right, left).packet_bytes == CUSTOM_PACKET_BYTES, "each direction has a path of its own"


async def test_a_search_waits_for_room(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = network.pair()
    fake = network.fake(left)
    send, sent_s = fake.send_lossy_unfragmented, [0.0, 0.0]

    def send_two_at_once(number: int, data: bytes | bytearray | memoryview) -> SendResult:
        if left.now() - sent_s[-2] < pathmtu.NO_ROOM_S / 2:
            return SendResult.QUEUE_FULL
        sent_s.append(left.now())
        return send(number, data)

    monkeypatch.setattr(fake, "send_lossy_unfragmented", send_two_at_once)
    monkeypatch.setattr(pathmtu, "ROUNDS_S", (0.1, 0.1, 0.4, 0.4))
    monkeypatch.setattr(pathmtu, "LADDER", (CUSTOM_PACKET_BYTES, 1350, 1300, NARROW, 1000))
    fake.path_bytes = NARROW
    peer, prober = await asking(left, right)
    await until(lambda: peer.packet_bytes != CUSTOM_PACKET_BYTES)
    await until(lambda: prober.settled(peer))
    assert peer.packet_bytes == NARROW


async def test_who_does_not_announce_it_is_not_asked(network: Network) -> None:
    left, right = network.pair()
    received: list[bytes] = []
    right.on_packet_id(pathmtu.PACKET_ID, lambda peer, packet: received.append(packet))
    OwnStatus(right)
    prober = MtuProber(left, OwnStatus(left))
    peer = there(left, right)
    await until(lambda: prober.settled(peer))
    left.tox.send_lossy(peer.number, b"\xca the last one")
    await until(lambda: received)
    assert received == [b"\xca the last one"]


async def test_a_flood_of_probes_is_not_answered_whole(network: Network) -> None:
    left, right = network.pair()
    MtuProber(right, OwnStatus(right))
    answers: list[bytes] = []
    left.on_packet_id(pathmtu.PACKET_ID, lambda peer, packet: answers.append(packet))
    peer = there(left, right)
    await until(lambda: peer.online)
    for token in range(3 * ANSWERS_AT_ONCE):
        left.tox.send_lossy(peer.number, pathmtu.encode(Probe(ProbeKind.PROBE, token, CUSTOM_PACKET_BYTES)))
    await until(lambda: len(answers) >= ANSWERS_AT_ONCE)
    assert len(answers) < 2 * ANSWERS_AT_ONCE
    assert {len(answer) for answer in answers} == {pathmtu.ACKNOWLEDGEMENT_BYTES}


async def test_rubbish_is_of_no_consequence(network: Network) -> None:
    left, right = network.pair()
    peer, prober = await asking(left, right)
    for packet in (b"\xca", b"\xca\x02\0\0\0\0", b"\xca\x01\xff\xff\x05\x5d"):
        right.tox.send_lossy(there(right, left).number, packet)
    await until(lambda: not network.fake(left).waiting)
    assert peer.packet_bytes == CUSTOM_PACKET_BYTES and prober.settled(peer)


async def test_a_closed_prober_asks_no_more(network: Network) -> None:
    left, right = network.pair()
    _, prober = await asking(left, right)
    prober.close()
    assert prober._timer is None


# -- what the probes tell of the path


async def measured(peer: Peer, prober: MtuProber) -> RoundTrips:
    """What is known of the peer's path once its round trip is."""
    await until(lambda: (trips := prober.trips(peer.public_key)) is not None and trips.rtt_s is not None)
    found = prober.trips(peer.public_key)
    assert found is not None
    return found


async def test_the_first_probe_tells_the_round_trip(network: Network) -> None:
    left, right = network.pair()
    peer, prober = await asking(left, right)
    trips = await measured(peer, prober)
    assert trips.rtt_s is not None and 0 < trips.rtt_s < 1
    assert prober.trips(bytes(32)) is None


async def test_who_looks_on_has_it_measured_anew_but_not_all_the_time(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = network.pair()
    peer, prober = await asking(left, right)
    trips = await measured(peer, prober)
    sizes: list[int] = []
    send = network.fake(left).send_lossy_unfragmented

    def noted(number: int, data: bytes | bytearray | memoryview) -> SendResult:
        sizes.append(len(data))
        return send(number, data)

    monkeypatch.setattr(network.fake(left), "send_lossy_unfragmented", noted)
    trips.rtt_s = None
    prober.look()
    prober.look()
    assert sizes == [LOOK_BYTES]
    await until(lambda: trips.rtt_s is not None)
    assert peer.packet_bytes == CUSTOM_PACKET_BYTES and prober.settled(peer)


async def test_another_path_is_measured_by_itself(network: Network) -> None:
    left, right = network.pair()
    peer, prober = await asking(left, right)
    before = await measured(peer, prober)
    network.tox.set_online(False)
    await until(lambda: not peer.online)
    after = prober.trips(peer.public_key)
    assert after is not before and after is not None and after.rtt_s is None
    prober.look()
    assert after.loss(left.now() + 60) is None, "an offline peer is not asked"
