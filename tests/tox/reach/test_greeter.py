"""When a node greets its local network, and what it makes of others' greetings."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network
from toxvpn.testing.fake_tox import FakeTox
from toxvpn.tox.events import PeerConnection, SelfConnection
from toxvpn.tox.node import Node
from toxvpn.tox.reach import greeter
from toxvpn.tox.reach.greeter import (
    ALONE_S,
    FIRST_PAUSE_S,
    GROUP,
    HEARD_AT_ONCE,
    LONGEST_PAUSE_S,
    PORT,
    Greeter,
)
from toxvpn.wire.reach.hello import KEY_BYTES, Greeting, encode

OTHER = Greeting(bytes(range(KEY_BYTES)), 40_000)
AT = "192.168.1.3"


class Group(socket.socket):
    """The socket, bound to nothing: what it sends is kept, and what is in `came` comes in."""

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.sent: list[tuple[int, bytes]] = []
        self.came: list[tuple[bytes, tuple[str, int]]] = []
        self._interface = 0

    def setsockopt(self, level: int, option: int, value: Any, *_: Any) -> None:
        if option == socket.IP_MULTICAST_IF:
            self._interface = int.from_bytes(value[8:], "little")

    def sendto(self, data: Any, to: Any, *_: Any) -> int:
        assert to == (GROUP, PORT)
        self.sent.append((self._interface, bytes(data)))
        return len(data)

    def recvfrom(self, *_: Any) -> tuple[bytes, Any]:
        if not self.came:
            raise BlockingIOError
        return self.came.pop(0)


class Side:
    def __init__(self, network: Network, node: Node, group: Group) -> None:
        self.node, self.group = node, group
        self.tox: FakeTox = network.fake(node)
        self.time = 1000.0
        self.relays: list[str] = []
        """Addresses of those that it is connected to."""
        node.now = lambda: self.time
        self.greeter = Greeter(node)

    def connect(self, connection: Connection) -> None:
        """To the Tox network."""
        self.greeter._on_event(SelfConnection(connection))

    def wait(self, seconds: float) -> int:
        """How many times it greeted meanwhile; ticks come four times a second."""
        before = len(self.group.sent)
        for _ in range(round(seconds * 4)):
            self.time += 0.25
            for call in self.node.each_tick:
                call(self.time)
        return len(self.group.sent) - before

    def hear(self, datagram: bytes, host: str = AT) -> list[tuple[str, int, bytes]]:
        """Whom it asks for that."""
        self.group.came.append((datagram, (host, PORT)))
        self.greeter._listen()
        asked, self.tox.bootstrapped[:] = list(self.tox.bootstrapped), []
        return asked


@pytest.fixture
async def new(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Side]:
    group = Group()
    monkeypatch.setattr(greeter, "_listening", lambda: group)
    monkeypatch.setattr(greeter, "_local_interfaces", lambda asked: iter([7]))
    network = Network()
    side = Side(network, network.node(), group)
    monkeypatch.setattr(greeter, "relay_hosts", lambda tox: iter(side.relays))
    yield side
    side.greeter.close()
    side.node.close()


@pytest.fixture
async def side(new: Side) -> Side:
    """One that UDP connects."""
    new.connect(Connection.UDP)
    return new


async def test_it_greets_at_the_start_and_then_ever_more_seldom(side: Side) -> None:
    assert side.wait(0.25) == 1
    greeting = encode(Greeting(side.tox.dht_id, side.tox.udp_port))
    assert side.group.sent == [(7, greeting)]
    assert side.wait(16) == 4
    assert side.wait(16) == 1
    assert side.wait(10 * LONGEST_PAUSE_S) in (9, 10)


@pytest.mark.parametrize(
    ("connection", "again"), [(Connection.NONE, True), (Connection.TCP, True), (Connection.UDP, False)]
)
async def test_it_begins_anew_when_a_peer_is_not_reached_directly(
    side: Side, connection: Connection, again: bool
) -> None:
    side.wait(300)
    peer = side.node.accept(bytes(32))
    peer.connection = connection
    side.greeter._on_event(PeerConnection(peer, Connection.NONE))
    assert side.wait(3 * FIRST_PAUSE_S) == (2 if again else 0)


async def test_it_asks_whom_it_hears(side: Side) -> None:
    assert side.hear(encode(OTHER)) == [(AT, OTHER.port, OTHER.dht_key)]


@pytest.mark.parametrize("relay", ["203.0.113.9", "2001:db8::9"])
async def test_where_udp_is_blocked_it_neither_greets_nor_hears(new: Side, relay: str) -> None:
    new.relays = [relay]
    new.connect(Connection.TCP)
    assert new.wait(300) == 0
    assert new.hear(encode(OTHER)) == []
    assert new.greeter.drops == {"not_now": 1}
    new.relays = []
    new.connect(Connection.NONE)  # the relay is lost
    assert new.wait(300) == 0
    new.greeter.moved()
    assert new.wait(ALONE_S + FIRST_PAUSE_S) > 0
    assert new.hear(encode(OTHER))


async def test_without_the_internet_it_greets_after_a_while(new: Side) -> None:
    assert new.wait(ALONE_S - 1) == 0
    assert new.hear(encode(OTHER)) == []
    assert new.wait(1 + FIRST_PAUSE_S) > 0
    assert new.hear(encode(OTHER))


@pytest.mark.parametrize("relays", [[], ["192.168.1.9"], ["127.0.0.1"]])  # the last: our own relay
async def test_nodes_of_the_local_network_are_not_the_internet(new: Side, relays: list[str]) -> None:
    new.relays = relays
    new.connect(Connection.TCP)  # as toxcore says once it has met one
    assert new.wait(ALONE_S + FIRST_PAUSE_S) > 0
    assert new.hear(encode(OTHER))
    new.relays = [*relays, "203.0.113.9"]
    assert new.wait(300) == 0
    assert new.hear(encode(OTHER)) == []


async def test_its_own_greeting_tells_it_nothing(side: Side) -> None:
    assert side.hear(encode(Greeting(side.tox.dht_id, 33445))) == []
    assert not side.greeter.drops


async def test_what_is_no_greeting_is_dropped_and_counted(side: Side) -> None:
    assert side.hear(b"hello") == [] == side.hear(encode(OTHER), "203.0.113.9")
    assert side.greeter.drops == {"malformed": 1, "not_local": 1}


async def test_a_flood_has_an_end(side: Side) -> None:
    asked = [side.hear(encode(OTHER)) for _ in range(HEARD_AT_ONCE + 10)]
    assert sum(map(len, asked)) == HEARD_AT_ONCE
    assert side.greeter.drops == {"too_many": 10}
    side.time += 1
    assert side.hear(encode(OTHER))


async def test_without_multicast_nothing_is_lost_but_that(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> socket.socket:
        raise OSError

    monkeypatch.setattr(greeter, "_listening", refuse)
    deaf = Greeter(side.node)
    deaf._greet()
    deaf.close()
