"""The node on a Tox network in memory; what crosses a real one is in tests/netns."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable

import pytest

from toxvpn._native.results import Connection, SendResult
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox import sockets, timing
from toxvpn.tox import turns as turns_module
from toxvpn.tox.events import Event, FriendRequest, PeerConnection, PeerStatus, SelfConnection
from toxvpn.tox.node import Node
from toxvpn.tox.peer import RARE_AT_ONCE
from toxvpn.tox.reach import returning
from toxvpn.tox.turns import TurnLoop


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
    server.on_packet_id(162, lambda _, packet: packets.append(packet))
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
    server.turns.turn()
    server.close()


@pytest.fixture
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SETTLE_S", 0.0)


async def test_clocks_run_fast_only_until_connected(network: Network, no_settling: None) -> None:
    server, client = network.node(), network.node()
    await until(lambda: network.rate_of(client) == network.rate_of(server) == 1)
    peer = client.reach(server.tox.address, b"hi")
    await until(lambda: network.rate_of(client) == timing.FASTEST_RATE)
    server.accept(client.tox.public_key)
    assert network.rate_of(server) == timing.FAST_RATE
    await until(lambda: peer.online)
    await until(lambda: network.rate_of(client) == network.rate_of(server) == timing.SLOW_RATE)


async def test_nobody_is_hurried_for_while_another_is_connected(network: Network, no_settling: None) -> None:
    left, _ = network.pair()
    await until(lambda: network.rate_of(left) < timing.FAST_RATE)
    left.accept(network.node().tox.public_key)
    assert network.rate_of(left) < timing.FAST_RATE


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
    monkeypatch.setattr(timing, "IDLE_AFTER_S", 0.01)
    monkeypatch.setattr(timing, "IDLE_INTERVAL_S", 3600.0)
    left, right = network.pair()
    network.fake(left).interval_ms = 0
    await until(lambda: network.rate_of(left) <= 1)
    turns: list[float] = []
    left.turns.after_turn.append(lambda: turns.append(left.now()))

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


# -- time in steps ----------------------------------------------------------------------------------


async def test_what_comes_in_while_time_stands_is_heard_at_once(network: Network) -> None:
    left, right = network.pair()
    packets: list[bytes] = []
    left.on_packet_id(162, lambda _, packet: packets.append(packet))
    left.turns.step_clock(3600)
    assert network.fake(left).steps_s == [3600]
    [peer] = right
    right.send_lossless(peer, b"\xa2packet")
    await rounds()
    assert packets == [b"\xa2packet"]


async def test_room_is_asked_for_again_while_something_waits(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = network.node()
    asked: list[Callable[[], None]] = []
    monkeypatch.setattr(node.turns._sockets, "when_writable", asked.append)
    network.fake(node).wants_room = True
    node.turns.send_when_writable()
    asked.pop()()
    assert len(asked) == 1 and node.tox.room_asked
    network.fake(node).wants_room = False
    asked.pop()()
    assert not asked and not node.tox.room_asked


async def test_what_waits_for_a_relay_is_sent_when_it_has_room_without_a_turn(
    network: Network, no_settling: None
) -> None:
    node = network.node()
    tox = network.fake(node)
    flushes: list[None] = []

    def flush() -> None:
        flushes.append(None)
        tox.streams_held = len(flushes) < 3

    tox.flush = flush  # type: ignore[method-assign]
    tox.streams_held = True
    node.turns.turn()
    await until(lambda: not tox.streams_held)
    node.turns.turn()
    assert len(flushes) == 3


async def test_where_not_every_socket_is_watched_a_quiet_node_takes_its_turns(
    network: Network, no_settling: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "IDLE_AFTER_S", 0.0)
    monkeypatch.setattr(timing, "IDLE_INTERVAL_S", 3600.0)
    node = network.node()
    await until(lambda: network.rate_of(node) == 1)
    assert node.turns._interval_s() == 3600.0
    node.turns._sockets.exact = False
    assert node.turns._interval_s() < 1


@pytest.fixture
async def on_its_own_clock(network: Network) -> tuple[Node, Node]:
    """A pair, the first of which has a toxcore whose clock is not ours."""
    left, right = network.pair()
    network.fake(left).clock_is_ours = False
    return left, right


async def test_where_time_cannot_stand_turns_wait(on_its_own_clock: tuple[Node, Node]) -> None:
    left, right = on_its_own_clock
    packets: list[bytes] = []
    left.on_packet_id(162, lambda _, packet: packets.append(packet))
    left.turns.step_clock(3600)
    [peer] = right
    right.send_lossless(peer, b"\xa2packet")
    await rounds()
    assert packets == []
    left.turns.step_clock(0.001)
    await until(lambda: packets == [b"\xa2packet"])
    right.send_lossless(peer, b"\xa2another")
    await rounds()
    assert packets[1:] == [b"\xa2another"], "it listens again"


async def test_waiting_turns_go_on_while_a_flood_of_others_waits(
    network: Network, on_its_own_clock: tuple[Node, Node]
) -> None:
    left, _ = on_its_own_clock
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        network.fake(left).receive_pending = turns < 5

    left.turns.after_turn.append(count)
    left.turns.step_clock(3600)
    left.turns.turn()
    await rounds()
    assert turns == 5


# -- whatever fails, there is a next turn -----------------------------------------------------------


def fail(*_: object) -> None:
    raise RuntimeError("of the test")


def counted_turns(node: Node) -> list[float]:
    turns: list[float] = []
    node.turns.after_turn.append(lambda: turns.append(node.now()))
    return turns


async def goes_on(node: Node, turns: list[float]) -> None:
    before = len(turns)
    await until(lambda: len(turns) > before + 2)


async def test_a_failing_part_ends_no_turns(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    left, _ = network.pair()
    network.fake(left).interval_ms = 1
    left.turns.after_turn.append(fail)
    turns = counted_turns(left)
    await goes_on(left, turns)
    assert "could not be handled" in caplog.text


async def test_failing_work_of_the_node_ends_no_turns(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, _ = network.pair()
    network.fake(left).interval_ms = 1
    monkeypatch.setattr(turns_module, "TICK_S", 0.0)
    monkeypatch.setattr(left.turns, "_tick", fail)
    await goes_on(left, counted_turns(left))


async def test_sockets_that_cannot_be_watched_end_no_turns(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, _ = network.pair()
    network.fake(left).interval_ms = 1
    monkeypatch.setattr(left.turns._sockets, "refresh", fail)
    await goes_on(left, counted_turns(left))


async def test_a_node_out_of_descriptors_goes_on_and_listens_again_when_there_are_some(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = network.pair()
    network.fake(left).interval_ms = 1
    turns = counted_turns(left)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(sockets, "Arrivals", out_of_descriptors)
        left.turns._sockets.forget()
        left.turns.turn()
        await goes_on(left, turns)
    await goes_on(left, turns)
    network.fake(left).interval_ms = 3_600_000
    await until(lambda: left.turns._sockets.exact)
    packets: list[bytes] = []
    left.on_packet_id(162, lambda _, packet: packets.append(packet))
    [peer] = right
    right.send_lossless(peer, b"\xa2packet")
    await until(lambda: packets == [b"\xa2packet"])


def out_of_descriptors(*_: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_a_node_without_turns_is_not_alive(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    left, _ = network.pair()
    monkeypatch.setattr(left.turns, "now", lambda: left.turns._turned_s + 10)
    assert left.is_alive(10)
    assert not left.is_alive(9)
    left.close()
    assert left.is_alive(0), "it has ended"
    new = TurnLoop(left.tox, lambda now: None)
    assert new.is_alive(0), "it has not started"


async def test_a_flood_of_status_messages_is_told_now_and_then_and_the_newest_at_last(
    network: Network,
) -> None:
    left, right = network.pair()
    events = recorded(left)
    for number in range(1000):
        right.tox.status_message = str(number).encode()
        left.turns.turn()
    told = [event.text for event in events if isinstance(event, PeerStatus)]
    assert 1 <= len(told) < 20
    peer = left.peer(right.tox.public_key)
    assert peer is not None and peer.status_text == b"999"
    left._tick(left.now() + 1)
    assert [event.text for event in events if isinstance(event, PeerStatus)][-1] == b"999"


async def test_a_flood_of_rare_packets_is_dropped_and_counted(network: Network) -> None:
    left, right = network.pair()
    peer, there = left.peer(right.tox.public_key), right.peer(left.tox.public_key)
    assert peer is not None and there is not None
    heard: list[bytes] = []
    left.on_packet_id(203, lambda _, packet: heard.append(packet))
    for _ in range(1000):
        right.tox.send_lossy(there.number, b"\xcbx")
    await until(lambda: peer.flooded_packets + len(heard) == 1000)
    assert RARE_AT_ONCE <= len(heard) < 2 * RARE_AT_ONCE
    assert peer.drops == {"flood": peer.flooded_packets}


async def test_a_network_that_is_back_is_joined_on_a_fast_clock(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, now = network.node(), 0.0
    peer_away = Network()
    node.reach(peer_away.node().tox.address, b"hi")
    node.connection = Connection.NONE
    network.fake(node).answers += 1
    clock = node.turns.fast_clock
    back: list[float] = []
    node.after_silence.append(lambda: back.append(now + 1))
    node._watch_answers(node.now())
    assert clock.rate(node.now()) > 1
    for now in (node.now() + returning.SILENT_S, node.now() + 2 * returning.SILENT_S):
        node._watch_answers(now)
        assert clock.rate(now) <= 1, "nobody answers"
    network.fake(node).answers += 1
    node._watch_answers(now + 1)
    assert clock.rate(now + 1) == timing.FASTEST_RATE
    assert back == [now + 1]
    peer_away.close()
