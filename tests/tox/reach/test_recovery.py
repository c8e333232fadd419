"""What a node does when it has slept, has moved, or a peer says so; two nodes on a fake network."""

from collections.abc import AsyncIterator

import pytest

from toxvpn._native.path.packets import Counters
from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.fake_tox import FakeTox
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import Peer
from toxvpn.tox.reach import recovery
from toxvpn.tox.reach.recovery import CONNECTION_S, PATH_AGAIN_S, PATH_S, PERHAPS_LOST_S, Recovery
from toxvpn.wire.reach import whereabouts
from toxvpn.wire.reach.whereabouts import Whereabouts

AT = ("203.0.113.9", 33445)  # FakeTox.source
ELSEWHERE = ("198.51.100.7", 40000)


class Clock:
    """That of the loop."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Side:
    """A node with a recovery. `tick` is a tick of it, `told` what it told its peer since the last look."""

    def __init__(self, network: Network, node: Node, clock: Clock) -> None:
        self.node = node
        self.tox: FakeTox = network.fake(node)
        self.clock = clock
        node.now = clock
        self.recovery = Recovery(node)
        OwnStatus(node)
        self._sent: list[Whereabouts] = []
        send = self.tox.send_lossy

        def noted(number: int, data: bytes | bytearray | memoryview) -> object:
            if told := whereabouts.decode_untrusted(bytes(data)):
                self._sent.append(told)
            return send(number, data)

        self.tox.send_lossy = noted  # type: ignore[method-assign, assignment]

    @property
    def peer(self) -> Peer:
        [peer] = self.node
        return peer

    def tick(self) -> None:
        for call in self.node.each_tick:
            call(self.clock.now)

    def told(self) -> list[Whereabouts]:
        sent, self._sent[:] = list(self._sent), []
        return sent

    def asked(self) -> list[tuple[str, int, bytes]]:
        """Where it has asked in the DHT since the last look."""
        asked, self.tox.bootstrapped[:] = list(self.tox.bootstrapped), []
        return asked


class Pair:
    def __init__(self, network: Network) -> None:
        self.clock = Clock()
        nodes = network.pair()
        for node in nodes:  # their own ticks would come by the real time
            node.turns._tick = lambda now: None
        self.left, self.right = (Side(network, node, self.clock) for node in nodes)

    async def pass_s(self, seconds: float) -> None:
        """Both tick, a quarter of a second apart."""
        for _ in range(round(seconds / 0.25)):
            self.clock.now += 0.25
            for side in (self.left, self.right):
                side.tick()
            await self.delivered()

    def sleep(self, seconds: float) -> None:
        """The left one."""
        self.clock.now += seconds
        self.left.tox.nap_s = seconds
        self.left.node.turns.turn()
        self.left.tick()

    async def delivered(self) -> None:
        for side in (self.left, self.right, self.left):
            side.node.turns.turn()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    network = Network()
    made = Pair(network)
    await until(lambda: made.left.peer.status_text and made.right.peer.status_text)
    await made.pass_s(1)
    for side in (made.left, made.right):
        assert side.tox.watched == {side.peer.public_key[::-1]}, "they have told their keys"
        side.told()
        side.asked()
    yield made
    for side in (made.left, made.right):
        side.recovery.close()
    network.close()


def key_of(side: Side) -> bytes:
    return side.tox.dht_id


async def test_idle_nodes_tell_each_other_nothing_more(pair: Pair) -> None:
    await pair.pass_s(60)
    assert not pair.left.told() and not pair.right.told()
    assert not pair.left.asked() and not pair.left.tox.jumps_s


async def test_who_has_slept_for_long_lets_its_connections_time_out_and_asks_its_peers(pair: Pair) -> None:
    pair.sleep(60)
    assert pair.left.tox.jumps_s == [CONNECTION_S]
    assert pair.left.asked() == [(*AT, key_of(pair.right))]
    await pair.pass_s(60)
    assert pair.left.tox.jumps_s == [CONNECTION_S]


async def test_who_has_slept_a_little_only_asks(pair: Pair) -> None:
    pair.sleep(PERHAPS_LOST_S - 1)
    assert pair.left.tox.jumps_s == []
    assert pair.left.asked() == [(*AT, key_of(pair.right))]


async def test_what_toxcore_did_not_see_of_a_shorter_sleep_passes_too(pair: Pair) -> None:
    """CLOCK_MONOTONIC stands while the machine sleeps; whoever was given up notices it in time then."""
    pair.left.tox.nap_s = PERHAPS_LOST_S + 2
    pair.clock.now += 3.0
    pair.left.node.turns.turn()
    assert pair.left.tox.jumps_s == [PERHAPS_LOST_S - 1]


async def test_who_has_moved_asks_its_peers_where_they_were_and_tells_them(pair: Pair) -> None:
    pair.left.recovery.moved()
    assert pair.left.tox.jumps_s == [PATH_S]
    assert pair.left.tox.announced_again == 1
    assert pair.left.asked() == [(*AT, key_of(pair.right))]
    assert pair.left.told() == [Whereabouts(key_of(pair.left), asks=True, moved=True)]
    await pair.delivered()
    await pair.pass_s(10)
    assert pair.right.told() == [Whereabouts(key_of(pair.right))]
    assert pair.left.told() == [], "it has been answered"
    assert pair.right.tox.jumps_s == [], "the answer has arrived"


async def test_others_are_told_of_a_move_too(pair: Pair) -> None:
    told: list[str] = []
    pair.left.recovery.after_move.append(lambda: told.append("moved"))
    pair.left.recovery.moved()
    assert told == ["moved"]


async def test_it_tells_for_a_while_when_nobody_answers(pair: Pair) -> None:
    pair.right.tox.send_lossy = lambda number, data: None  # type: ignore[method-assign, assignment, return-value]
    pair.left.recovery.moved()
    await pair.delivered()
    await pair.pass_s(60)
    told = pair.left.told()
    assert 10 < len(told) <= 1 + recovery.TELL_S / 0.25
    assert pair.right.tox.jumps_s == [PATH_S], "its answers get lost: they go to the old address"


async def test_told_over_a_relay_a_peer_gives_the_path_up(pair: Pair) -> None:
    pair.right.tox.source = None
    pair.left.recovery.moved()
    await pair.delivered()
    assert pair.right.tox.jumps_s == [PATH_S]


async def test_a_peer_on_a_relay_has_no_path_to_give_up(pair: Pair) -> None:
    pair.right.tox.source = None
    pair.right.peer.connection = Connection.TCP
    pair.left.recovery.moved()
    await pair.delivered()
    assert pair.right.tox.jumps_s == []


async def test_whatever_peers_say_the_clock_stays_close(pair: Pair) -> None:
    """Connections time out after 32 s without a ping, and each has one in 8 s."""
    pair.right.tox.source = None
    for _ in range(100):
        pair.left.recovery.moved()
        await pair.delivered()
        await pair.pass_s(1)
    assert 1 < len(pair.right.tox.jumps_s) <= 1 + 100 / PATH_AGAIN_S
    assert len(pair.right.told()) < 500


async def test_a_peer_that_always_says_that_it_has_moved_leaves_the_clock_to_others(pair: Pair) -> None:
    pair.right.tox.source = None
    for _ in range(200):
        pair.left.recovery.moved()
        await pair.delivered()
        await pair.pass_s(1)
    assert len(pair.right.tox.jumps_s) <= recovery.PASSES_AT_ONCE + 200 * recovery.PASSES_PER_S
    pair.clock.now += PATH_AGAIN_S
    before = len(pair.right.tox.jumps_s)
    pair.right.recovery.moved()
    assert len(pair.right.tox.jumps_s) == before + 1


async def test_where_a_peers_key_is_used_it_is_asked_whether_it_is_there(pair: Pair) -> None:
    pair.left.tox.sighted = [(key_of(pair.right), *ELSEWHERE)]
    pair.left.node.turns.turn()
    assert pair.left.asked() == [(*ELSEWHERE, key_of(pair.right))]
    pair.left.recovery.moved()
    assert sorted(pair.left.asked()) == sorted((*at, key_of(pair.right)) for at in (AT, ELSEWHERE))


async def test_many_sightings_are_not_all_looked_into(pair: Pair) -> None:
    for port in range(1, 1000):
        pair.left.tox.sighted = [(key_of(pair.right), AT[0], port)]
        pair.left.node.turns.turn()
    assert len(pair.left.asked()) <= 4


async def test_a_stranger_may_be_a_peer_but_many_are_not_asked(pair: Pair) -> None:
    for port in range(1, 1000):
        pair.left.tox.sighted = [(bytes(32), AT[0], port)]
        pair.left.node.turns.turn()
    assert len(pair.left.asked()) == recovery.STRANGERS_AT_ONCE
    pair.left.recovery.moved()
    assert pair.left.asked() == [(*AT, key_of(pair.right))], "it is not taken for one"


class Datapath:
    """Counts what went to the peer and what came."""

    def __init__(self) -> None:
        self.sent = self.received = 0
        self.heard_of: int | None = None

    def counters(self, friend_number: int) -> Counters:
        return Counters(self.received, 0, self.sent, 0, {})

    def heard(self, friend_number: int) -> None:
        self.heard_of = friend_number


async def test_who_is_heard_is_told_to_the_datapaths(pair: Pair) -> None:
    """They hold packets for it."""
    datapath = Datapath()
    pair.left.node.datapaths.append(datapath)
    await pair.pass_s(5)
    assert datapath.heard_of is None
    pair.right.recovery.ask(pair.right.peer)
    await pair.delivered()
    assert datapath.heard_of == pair.left.peer.number


async def test_a_path_on_which_nobody_answers_is_given_up(pair: Pair) -> None:
    datapath = Datapath()
    pair.left.node.datapaths.append(datapath)
    answer, pair.right.tox.send_lossy = pair.right.tox.send_lossy, lambda number, data: None  # type: ignore[method-assign, assignment, return-value]
    for _ in range(3):
        datapath.sent += 1
        await pair.pass_s(1)
    assert pair.left.tox.jumps_s == [PATH_S]
    assert pair.left.tox.announced_again == 1, "a router between may have moved"
    assert (*AT, key_of(pair.right)) in pair.left.asked()
    assert any(told.moved for told in pair.left.told())
    pair.right.tox.send_lossy = answer  # type: ignore[method-assign]


class Relays:
    """In place of the connections to relays. `dead`: how many of them the kernel knows to be dead."""

    def __init__(self, patch: pytest.MonkeyPatch, tox: FakeTox) -> None:
        self.dead = self.reconnected = 0
        self._tox = tox
        patch.setattr(recovery, "reconnect_dead_relays", self._dead)
        patch.setattr(recovery, "reconnect_relays", self._all)

    def _dead(self, tox: object) -> int:
        dead, self.dead = self.dead, 0
        return dead

    def _all(self, tox: object, is_lost: object) -> int:
        self.reconnected += tox is self._tox
        return 1


async def over_a_relay(pair: Pair, *, silent: bool) -> Datapath:
    """The left one's packets; `silent`: nothing that the right one sends arrives."""
    for side in (pair.left, pair.right):
        side.node.on_friend_connection(side.peer.number, Connection.TCP)
    await pair.delivered()
    if silent:
        pair.right.tox.send_lossy = lambda number, data: None  # type: ignore[method-assign, assignment, return-value]
    datapath = Datapath()
    pair.left.node.datapaths.append(datapath)
    return datapath


async def test_a_dead_relay_is_replaced_as_soon_as_a_peer_is_silent(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    relays = Relays(monkeypatch, pair.left.tox)
    datapath = await over_a_relay(pair, silent=True)
    await pair.pass_s(5)
    relays.dead = 1
    datapath.sent += 1
    await pair.pass_s(recovery.WONDER_S + 2 * recovery.LISTEN_S)
    assert relays.dead == 0
    assert relays.reconnected == 0
    assert any(told.moved for told in pair.left.told()), "the peer's own way to us may be gone too"
    assert pair.left.tox.jumps_s == []


async def test_a_dead_relay_is_replaced_when_a_peer_asks_who_may_hear_nothing_of_us(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each end has its own relay to send over, and we hear the peer."""
    relays = Relays(monkeypatch, pair.left.tox)
    await over_a_relay(pair, silent=False)
    await pair.pass_s(5)
    relays.dead = 1
    await pair.pass_s(5)
    assert relays.dead == 1, "nobody asks"
    pair.right.recovery.ask(pair.right.peer)
    await pair.delivered()
    assert relays.dead == 0


async def test_over_a_relay_that_swallows_everything_all_are_replaced_but_seldom(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    relays = Relays(monkeypatch, pair.left.tox)
    datapath = await over_a_relay(pair, silent=True)
    datapath.sent += 1
    await pair.pass_s(recovery.RELAY_DEAD_S)
    assert relays.reconnected == 0
    await pair.pass_s(1)
    assert relays.reconnected == 1
    for _ in range(200):
        datapath.sent += 1
        await pair.pass_s(1)
    assert relays.reconnected <= recovery.PASSES_AT_ONCE + 200 * recovery.PASSES_PER_S


async def test_while_a_peer_is_silent_over_relays_others_are_looked_for_again_and_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    Relays(monkeypatch, pair.left.tox)
    sought: list[Peer] = []
    pair.left.recovery.without_relay.append(sought.append)
    datapath = await over_a_relay(pair, silent=True)
    datapath.sent += 1
    await pair.pass_s(recovery.RELAY_DEAD_S)
    assert sought == []
    await pair.pass_s(3 * recovery.NAME_AGAIN_S)
    assert sought == [pair.left.peer] * 3
    pair.left.peer.received_packets += 1
    await pair.pass_s(3 * recovery.NAME_AGAIN_S)
    assert len(sought) == 3


async def test_relays_over_which_somebody_talks_are_kept(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    relays = Relays(monkeypatch, pair.left.tox)
    datapath = await over_a_relay(pair, silent=True)
    other = pair.left.node.accept(b"o" * 32)
    pair.left.node.on_friend_connection(other.number, Connection.TCP)
    pair.left.recovery._receive(other, whereabouts.encode(Whereabouts(b"k" * 32)))
    for _ in range(20):
        datapath.sent += 1
        other.received_packets += 1
        await pair.pass_s(0.5)
    assert relays.reconnected == 0


async def test_who_does_not_hear_us_over_a_relay_has_us_replace_ours(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    relays = Relays(monkeypatch, pair.right.tox)
    await over_a_relay(pair, silent=False)
    moved = whereabouts.encode(Whereabouts(key_of(pair.left), asks=True, moved=True))
    for _ in range(5):
        pair.right.recovery._receive(pair.right.peer, moved)
        pair.clock.now += 0.25
    assert relays.reconnected == 1


async def test_outside_the_network_peers_are_asked_again_and_again(pair: Pair) -> None:
    pair.left.node.on_self_connection(Connection.NONE)
    pair.left.node.on_friend_connection(pair.left.peer.number, Connection.NONE)
    await pair.pass_s(60)
    assert pair.left.asked().count((*AT, key_of(pair.right))) >= 60 / recovery.LOST_AGAIN_S - 1


async def test_a_peer_that_only_listens_is_asked_and_the_path_kept(pair: Pair) -> None:
    datapath = Datapath()
    pair.left.node.datapaths.append(datapath)
    for _ in range(60):
        datapath.sent += 1
        await pair.pass_s(0.5)
    assert pair.left.tox.jumps_s == []
    assert 10 < len(pair.left.told()) < 40


async def test_answers_that_come_are_enough(pair: Pair) -> None:
    datapath = Datapath()
    pair.left.node.datapaths.append(datapath)
    for _ in range(60):
        datapath.sent += 1
        datapath.received += 1
        await pair.pass_s(0.5)
    assert pair.left.told() == [] and pair.left.tox.jumps_s == []


async def test_a_peer_that_is_removed_is_forgotten(pair: Pair) -> None:
    pair.left.node.remove(pair.left.peer)
    assert pair.left.tox.watched == set()
    pair.left.recovery.moved()
    assert pair.left.asked() == []


async def test_a_peer_that_starts_anew_has_another_key(pair: Pair) -> None:
    pair.right.tox.send_lossy(pair.right.peer.number, whereabouts.encode(Whereabouts(b"k" * 32)))
    await pair.delivered()
    assert pair.left.tox.watched == {b"k" * 32}


async def test_a_peer_cannot_end_the_watch_for_the_key_of_another(pair: Pair) -> None:
    key = key_of(pair.right)
    other = pair.left.node.accept(b"o" * 32)
    for claimed in (key, b"k" * 32):
        pair.left.recovery._receive(other, whereabouts.encode(Whereabouts(claimed)))
    assert pair.left.tox.watched == {key, b"k" * 32}
    pair.left.recovery._receive(other, whereabouts.encode(Whereabouts(key)))
    pair.left.node.remove(other)
    assert pair.left.tox.watched == {key}


async def test_nonsense_is_ignored(pair: Pair) -> None:
    pair.right.tox.send_lossy(pair.right.peer.number, bytes([whereabouts.PACKET_ID, 3]))
    await pair.delivered()
    assert pair.left.tox.watched == {key_of(pair.right)}
    assert pair.left.told() == []
