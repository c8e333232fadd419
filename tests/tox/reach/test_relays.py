"""Connections to relays are broken where they are lost, and nothing else is touched."""

import fcntl
import os
import select
import socket
import struct
import termios
from types import SimpleNamespace
from typing import cast

import pytest

from toxvpn._native.toxcore import Tox
from toxvpn.tox.reach.relays import (
    UNANSWERED_MS,
    connected_relays,
    is_dead,
    own_relays,
    places_of_relays,
    plain,
    reconnect_dead_relays,
    reconnect_relays,
    relay_hosts,
)
from toxvpn.wire.reach.introduction import NodeAt

LONGEST_PACKET_BYTES = 2048  # toxcore's MAX_PACKET_SIZE


class Sockets:
    """Has the sockets of a toxcore."""

    def __init__(self, *sockets: tuple[socket.socket, bool], tcp_port: int = 0) -> None:
        self._sockets = sockets
        self.tcp_port = tcp_port

    def sockets(self) -> list[tuple[int, bool]]:
        return [(sock.fileno(), datagram) for sock, datagram in self._sockets]


def waiting_bytes(fd: int) -> int:
    """As toxcore asks before it reads."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])


def test_who_has_us_as_a_relay_is_not_interrupted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own, socket.create_server(("127.0.0.1", 0)) as other:
        client = socket.create_connection(own.getsockname())
        accepted = own.accept()[0]
        to_relay = socket.create_connection(other.getsockname())
        sockets = Sockets((own, False), (accepted, False), (to_relay, False), tcp_port=own.getsockname()[1])
        assert list(relay_hosts(cast(Tox, sockets))) == ["127.0.0.1"]
        assert reconnect_relays(cast(Tox, sockets), lambda local, relay: True) == 1
        accepted.sendall(b"x")
        assert client.recv(1) == b"x"
        for each in (client, accepted, to_relay):
            each.close()


def test_only_what_is_lost_is_broken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as relay, socket.socket(type=socket.SOCK_DGRAM) as udp:
        lost, good = (socket.create_connection(relay.getsockname()) for _ in range(2))
        ends = [relay.accept()[0] for _ in range(2)]
        fds = [sock.fileno() for sock in (lost, good, udp, relay)]
        asked = []

        def is_lost(local: str, of_relay: str) -> bool:
            asked.append((local, of_relay))
            return len(asked) == 1

        sockets = Sockets((udp, True), (relay, False), (lost, False), (good, False))
        assert reconnect_relays(cast(Tox, sockets), is_lost) == 1
        assert asked == [("127.0.0.1", "127.0.0.1")] * 2
        assert [sock.fileno() for sock in (lost, good, udp, relay)] == fds
        assert waiting_bytes(lost.fileno()) > 2 + LONGEST_PACKET_BYTES
        assert int.from_bytes(os.read(lost.fileno(), 2)) > LONGEST_PACKET_BYTES
        assert not os.get_blocking(lost.fileno())
        assert not os.get_inheritable(lost.fileno())
        ends[0].settimeout(5)
        assert ends[0].recv(1) == b"", "the relay learns of it"
        good.sendall(b"x")
        assert ends[1].recv(1) == b"x"
        assert not select.select([good], [], [], 0)[0]
        for sock in (lost, good, *ends):
            sock.close()


def test_those_that_the_relay_has_closed_are_dead() -> None:
    with socket.create_server(("127.0.0.1", 0)) as relay:
        connections = [socket.create_connection(relay.getsockname()) for _ in range(3)]
        closed, reset, good = connections
        ends = [relay.accept()[0] for _ in connections]
        ends[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for end in ends[:2]:
            end.close()
        sockets = cast(Tox, Sockets((relay, False), *((each, False) for each in connections)))
        assert reconnect_dead_relays(sockets) == 2
        assert waiting_bytes(closed.fileno()) > LONGEST_PACKET_BYTES < waiting_bytes(reset.fileno())
        assert waiting_bytes(good.fileno()) == 0
        assert reconnect_dead_relays(sockets) == 0, "they are broken already"
        for each in (*connections, *ends):
            each.close()


def test_who_has_us_as_a_relay_is_not_dead_to_us() -> None:
    """toxcore sees by itself when it is, and would drop what has come in last."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        client = socket.create_connection(own.getsockname())
        accepted = own.accept()[0]
        client.sendall(b"x")
        client.close()
        sockets = Sockets((own, False), (accepted, False), tcp_port=own.getsockname()[1])
        assert reconnect_dead_relays(cast(Tox, sockets)) == 0
        assert accepted.recv(2) == b"x"
        accepted.close()


def test_one_that_is_broken_already_is_no_relay() -> None:
    """toxcore may take a while to notice."""
    with (
        socket.create_server(("127.0.0.1", 0)) as relay,
        socket.create_connection(relay.getsockname()) as lost,
    ):
        place = relay.getsockname()
        sockets = cast(Tox, Sockets((lost, False)))
        known = {place: bytes(32)}
        assert [each.port for each in connected_relays(sockets, known)] == [place[1]]
        assert reconnect_relays(sockets, lambda *_: True) == 1
        assert list(connected_relays(sockets, known)) == []
        assert reconnect_relays(sockets, lambda *_: True) == 0


def test_those_whose_other_end_is_gone_are_dead() -> None:
    """As in linux/tcp.h: 1 is ESTABLISHED, 2 SYN_SENT, 8 CLOSE_WAIT."""
    assert is_dead(1, 2, 3, UNANSWERED_MS)
    assert not is_dead(1, 2, 3, UNANSWERED_MS - 1), "it may still answer"
    assert not is_dead(1, 0, 3, UNANSWERED_MS), "nothing was lost yet"
    assert not is_dead(1, 0, 0, 1_000_000), "nobody sends"
    assert not is_dead(2, 3, 1, 1_000_000), "it is being made"
    assert is_dead(8, 0, 0, 0)


def test_an_address_that_came_mapped() -> None:
    assert plain("::ffff:203.0.113.1") == "203.0.113.1"
    assert plain("2001:db8::1") == "2001:db8::1"


def test_a_node_tells_of_its_own_relay_where_others_may_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tox = cast(Tox, SimpleNamespace(tcp_port=443, dht_id=b"k" * 32))
    sources = {"192.0.2.1": "203.0.113.5", "2001:db8::1": "2600::5"}
    monkeypatch.setattr("toxvpn.tox.reach.relays.source_of", lambda host, mark: sources.get(host))
    told = [NodeAt("203.0.113.5", 443, b"k" * 32, relay=True), NodeAt("2600::5", 443, b"k" * 32, relay=True)]
    assert list(own_relays(tox)) == told
    sources.update({"192.0.2.1": "192.168.1.2", "2001:db8::1": "fd00::2"})
    assert list(own_relays(tox)) == [], "private ones"
    sources.clear()
    assert list(own_relays(tox)) == []
    tox = cast(Tox, SimpleNamespace(tcp_port=0, dht_id=b"k" * 32))
    assert list(own_relays(tox)) == [], "no relay"


def test_connections_of_others_to_our_relay_lead_to_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        client = socket.create_connection(own.getsockname())
        accepted = own.accept()[0]
        port = own.getsockname()[1]
        sockets = Sockets((own, False), (accepted, False), (client, False), tcp_port=port)
        assert places_of_relays(cast(Tox, sockets)) == {client.fileno(): ("127.0.0.1", port)}
        client.close()
        accepted.close()
