"""The node on a Tox network in memory; what crosses a real one is in tests/netns."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from toxvpn._native.results import Connection, SendResult
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox import pace, rest
from toxvpn.tox.events import Event, FriendRequest, PeerConnection, PeerStatus, SelfConnection
from toxvpn.tox.node import Node


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


def recorded(node: Node) -> list[Event]:
    events: list[Event] = []
    node.subscribe(events.append)
    return events


def seen(events: list[Event], kind: type) -> Callable[[], bool]:
    return lambda: any(isinstance(event, kind) for event in events)


async def test_request_accept_connect_and_talk(network: Network) -> None:
    server, client = network.node(), network.node()
    server.tox.status_message = b"of the server"
    server_events, client_events = recorded(server), recorded(client)
    peer = client.reach(server.tox.address, b"secret\0")
    await until(seen(server_events, FriendRequest))
    request = next(event for event in server_events if isinstance(event, FriendRequest))
    assert (request.public_key, request.message) == (client.tox.public_key, b"secret\0")
    assert client.send_lossless(peer, b"\xa2x") is SendResult.OFFLINE
    server.accept(request.public_key)
    await until(lambda: peer.online and seen(client_events, PeerStatus)())
    assert peer.status_text == b"of the server"
    assert peer.connection is Connection.UDP
    packets: list[bytes] = []
    server.on_lossless_id(162, lambda _, packet: packets.append(packet))
    assert client.send_lossless(peer, b"\xa2one") is SendResult.SENT
    assert client.send_lossless(peer, b"\xa3nobody's") is SendResult.SENT
    assert client.send_lossless(peer, b"\xa2two") is SendResult.SENT
    await until(lambda: len(packets) == 2)
    assert packets == [b"\xa2one", b"\xa2two"]


async def test_losing_and_regaining_the_network_is_told(network: Network) -> None:
    left, right = network.pair()
    events = recorded(left)
    peer = left.peer(right.tox.public_key)
    assert peer is not None
    network.tox.set_online(False)
    await until(lambda: not peer.online)
    assert peer.status_text is None
    network.tox.set_online(True)
    await until(lambda: peer.online)
    kinds = [type(event) for event in events if isinstance(event, SelfConnection | PeerConnection)]
    assert kinds.count(PeerConnection) == 2
    assert kinds.count(SelfConnection) == 2


async def test_a_removed_peer_is_gone_at_once(network: Network) -> None:
    left, right = network.pair()
    events = recorded(left)
    peer = left.peer(right.tox.public_key)
    assert peer is not None
    left.remove(peer)
    assert left.peer(right.tox.public_key) is None
    assert list(left) == []
    await until(seen(events, PeerConnection))
    assert left.tox.friend_list() == []


async def test_reaching_again_keeps_the_peer_object(network: Network) -> None:
    server, client = network.node(), network.node()
    peer = client.reach(server.tox.address, b"hi")
    assert client.reach(server.tox.address, b"hi") is peer
    assert [*client] == [peer]
    assert client.tox.friend_by_public_key(server.tox.public_key) == peer.number


async def test_friends_of_the_savedata_are_known(network: Network) -> None:
    node = network.node(friends=[b"\x01" * 32, b"\x02" * 32])
    assert {peer.public_key for peer in node} == {b"\x01" * 32, b"\x02" * 32}


async def test_a_failing_subscriber_does_not_stop_the_others(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    server, client = network.node(), network.node()

    def fail(event: Event) -> None:
        raise RuntimeError("of the test")

    server.subscribe(fail)
    events = recorded(server)
    client.reach(server.tox.address, b"hi")
    await until(seen(events, FriendRequest))
    assert "could not be handled" in caplog.text


async def test_closing_inside_an_event(network: Network) -> None:
    server, client = network.node(), network.node()
    server.subscribe(lambda event: server.close())
    client.reach(server.tox.address, b"hi")
    await until(lambda: network.fake(server).closed)
    server.turn()
    server.close()


@pytest.fixture
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SETTLE_S", 0.0)


async def test_clocks_run_fast_only_until_connected(network: Network, no_settling: None) -> None:
    server, client = network.node(), network.node()
    await until(lambda: network.rate_of(client) == network.rate_of(server) == 1)
    peer = client.reach(server.tox.address, b"hi")
    await until(lambda: network.rate_of(client) == pace.FAST_RATE)
    server.accept(client.tox.public_key)
    assert network.rate_of(server) == pace.FAST_RATE
    await until(lambda: peer.online)
    await until(lambda: network.rate_of(client) == network.rate_of(server) == pace.SLOW_RATE)


async def test_nobody_is_hurried_for_while_another_is_connected(network: Network, no_settling: None) -> None:
    left, _ = network.pair()
    await until(lambda: network.rate_of(left) != pace.FAST_RATE)
    left.accept(network.node().tox.public_key)
    assert network.rate_of(left) != pace.FAST_RATE


async def test_bootstrap_nodes_are_asked(network: Network) -> None:
    node = network.node(contacts=[("203.0.113.7", 33445, (443, 3389), b"\x07" * 32)])
    await until(lambda: len(network.bootstrapped(node)) == 3)
    assert {port for _, port, _ in network.bootstrapped(node)} == {33445, 443, 3389}


async def rounds() -> None:
    """Everything that is ready has its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_quiet_node_takes_no_turn_until_something_happens(
    network: Network, no_settling: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "QUIET_AFTER_S", 0.01)
    monkeypatch.setattr(rest, "LONGEST_S", 3600.0)
    left, right = network.pair()
    network.fake(left).interval_ms = 0
    await until(lambda: network.rate_of(left) <= 1)
    turns: list[float] = []
    left.after_turn.append(lambda: turns.append(left.now()))

    async def turns_again() -> bool:
        before = len(turns)
        await rounds()
        return len(turns) > before

    async def quiet() -> None:
        async with asyncio.timeout(5):
            while await turns_again():
                pass

    await quiet()
    [peer] = right
    right.send_lossless(peer, b"\xa2packet")
    assert await turns_again(), "the socket wakes it"
    await quiet()
    [peer] = left
    left.send_lossless(peer, b"\xa2packet")
    assert await turns_again(), "it repeats what gets lost"


async def test_a_braked_node_takes_no_turn_for_what_comes_in(network: Network) -> None:
    left, right = network.pair()
    packets: list[bytes] = []
    left.on_lossless_id(162, lambda _, packet: packets.append(packet))
    left.brake(3600)
    left.turn()
    [peer] = right
    right.send_lossless(peer, b"\xa2packet")
    await rounds()
    assert packets == []
    left.brake(None)
    await until(lambda: packets == [b"\xa2packet"])


async def test_a_braked_node_takes_turns_at_the_spacing_it_was_given(network: Network) -> None:
    left, _ = network.pair()
    turns: list[float] = []
    left.after_turn.append(lambda: turns.append(left.now()))
    left.brake(0.001)
    await until(lambda: len(turns) > 3)


async def test_a_braked_node_goes_on_while_a_flood_of_others_waits(network: Network) -> None:
    left, _ = network.pair()
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        network.fake(left).receive_pending = turns < 5

    left.after_turn.append(count)
    left.brake(3600)
    left.turn()
    await rounds()
    assert turns == 5
