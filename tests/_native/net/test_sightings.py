"""From where peers' DHT keys speak, and where the datagram at hand came from."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from toxvpn.testing.hooked import Hooked

KEY, OTHER = os.urandom(32), os.urandom(32)
PING_REQUEST, GET_NODES = 0, 2
MOST, OTHERS = 1024, 32


class Pair:
    """A socket under the hooks, and others that send to it."""

    def __init__(self, owner: Hooked, family: socket.AddressFamily) -> None:
        self.owner = owner
        self.fd = owner.socket(family, socket.SOCK_DGRAM)
        bound = socket.socket(fileno=self.fd)
        bound.setblocking(False)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(("::" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        bound.detach()
        self._senders: list[socket.socket] = []

    def sender(self, address: str = "127.0.0.1") -> tuple[socket.socket, tuple[str, int]]:
        sender = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._senders.append(sender)
        sender.bind((address, 0))
        return sender, sender.getsockname()[:2]

    def receive(self, sender: socket.socket, data: bytes) -> None:
        sender.sendto(data, (sender.getsockname()[0], self.port))
        assert self.owner.recvfrom(self.fd)[0] == data

    def close(self) -> None:
        self.owner.close(self.fd)
        for sender in self._senders:
            sender.close()


@contextmanager
def receiving(family: socket.AddressFamily = socket.AF_INET6) -> Iterator[Pair]:
    owner = Hooked()
    with owner:
        pair = Pair(owner, family)
        try:
            yield pair
        finally:
            pair.close()


def request(key: bytes = KEY, kind: int = GET_NODES) -> bytes:
    return bytes([kind]) + key + os.urandom(50)


@pytest.mark.parametrize("kind", [PING_REQUEST, GET_NODES])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_watched_key_is_seen_at_each_new_place_once(kind: int, family: socket.AddressFamily) -> None:
    with receiving(family) as pair:
        assert pair.owner.watch(KEY) and pair.owner.watch(KEY)
        (here, at_here), (there, at_there) = pair.sender(), pair.sender()
        pair.receive(here, request(kind=kind))
        assert pair.owner.sightings() == [(KEY, *at_here)]
        pair.receive(here, request(kind=kind))
        assert pair.owner.sightings() == []
        pair.receive(there, request(kind=kind))
        assert pair.owner.sightings() == [(KEY, *at_there)]
        pair.receive(here, request(kind=kind))
        assert pair.owner.sightings() == [(KEY, *at_here)]


def test_both_families_are_known_at_once() -> None:
    with receiving() as pair:
        pair.owner.watch(KEY)
        (ipv4, at_ipv4), (ipv6, at_ipv6) = pair.sender(), pair.sender("::1")
        for sender in (ipv4, ipv6, ipv4, ipv6):
            pair.receive(sender, request())
        assert pair.owner.sightings() == [(KEY, *at_ipv4), (KEY, *at_ipv6)]
        assert pair.owner.sightings() == []


def test_nobody_else_is_noted_and_nothing_else() -> None:
    with receiving() as pair:
        pair.owner.watch(KEY)
        pair.owner.watch(OTHER)
        pair.owner.forget(OTHER)
        pair.owner.forget(OTHER)
        sender, _ = pair.sender()
        for data in (request(kind=27), request(OTHER), request()[:81], request()[:32], b"x", b""):
            pair.receive(sender, data)
        assert pair.owner.sightings() == []


def test_a_key_was_seen_before_it_is_watched() -> None:
    """A peer asks for nodes, is connected, and then tells its key."""
    with receiving() as pair:
        (ipv4, at_ipv4), (ipv6, at_ipv6) = pair.sender(), pair.sender("::1")
        for sender in (ipv4, ipv6, ipv4):
            pair.receive(sender, request())
        assert pair.owner.sightings() == []
        pair.owner.watch(KEY)
        assert pair.owner.sightings() == [(KEY, *at_ipv4), (KEY, *at_ipv6)]
        pair.receive(ipv4, request())
        assert pair.owner.sightings() == []
        pair.owner.forget(KEY)
        pair.owner.watch(KEY)
        assert pair.owner.sightings() == []


def test_of_those_who_are_not_watched_the_last_few_are_known() -> None:
    with receiving() as pair:
        sender, at = pair.sender()
        keys = [os.urandom(32) for _ in range(OTHERS + 1)]
        for key in keys:
            pair.receive(sender, request(key))
        for key in keys:
            pair.owner.watch(key)
        assert pair.owner.sightings() == [(key, *at) for key in keys[1:]]


def test_what_is_forgotten_is_not_told() -> None:
    with receiving() as pair:
        sender, at = pair.sender()
        for key in (KEY, OTHER):
            pair.owner.watch(key)
            pair.receive(sender, request(key))
        pair.owner.forget(KEY)
        assert pair.owner.sightings() == [(OTHER, *at)]


def test_so_many_are_watched_and_no_more() -> None:
    owner = Hooked()
    keys = [number.to_bytes(32) for number in range(MOST + 1)]
    assert all(owner.watch(key) for key in keys[:MOST])
    assert not owner.watch(keys[MOST])
    owner.forget(keys[0])
    assert owner.watch(keys[MOST])


def test_the_source_is_known_until_there_are_no_more_datagrams() -> None:
    with receiving() as pair:
        (ipv4, at_ipv4), (ipv6, at_ipv6) = pair.sender(), pair.sender("::1")
        assert pair.owner.source() is None
        pair.receive(ipv4, b"x")
        assert pair.owner.source() == at_ipv4
        pair.receive(ipv6, b"y")
        assert pair.owner.source() == at_ipv6
        with pytest.raises(BlockingIOError):
            pair.owner.recvfrom(pair.fd)
        assert pair.owner.source() is None
