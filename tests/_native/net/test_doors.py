"""Doors: sockets of a handle beside libtoxcore's own, each for one address."""

import gc
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from toxvpn.testing.hooked import Hooked
from toxvpn.testing.sockaddr import pack

MANY = 600
"""More than one turn takes."""


def bound(family: socket.AddressFamily = socket.AF_INET6) -> socket.socket:
    one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.bind(("", 0))
    return one


@dataclass
class Site:
    """A handle's own socket, a door, and the peer that it leads to; all on the loopback interface."""

    owner: Hooked
    own: int
    own_port: int
    door: int
    door_port: int
    peer: socket.socket
    family: socket.AddressFamily

    @property
    def peer_port(self) -> int:
        return int(self.peer.getsockname()[1])

    def address(self, port: int) -> bytes:
        if self.family == socket.AF_INET6:
            return pack("::ffff:127.0.0.1", port)
        return pack("127.0.0.1", port)

    def receive(self) -> list[bytes]:
        """All that there is for libtoxcore in one turn."""
        got = []
        try:
            with self.owner:
                while True:
                    got.append(self.owner.recvfrom(self.own)[0])
        except BlockingIOError:
            return got


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    owner = Hooked()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        with owner:
            own = owner.socket(request.param, socket.SOCK_DGRAM)
        as_socket = socket.socket(fileno=own)
        as_socket.setblocking(False)
        if request.param == socket.AF_INET6:
            as_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        as_socket.bind(("", 0))
        own_port = as_socket.getsockname()[1]
        as_socket.detach()
        extra = bound(request.param)
        door_port, door = extra.getsockname()[1], extra.detach()
        assert owner.open_door(door, "127.0.0.1", peer.getsockname()[1])
        yield Site(owner, own, own_port, door, door_port, peer, request.param)
        owner.close(own)


def test_what_goes_to_the_peer_leaves_by_its_door(site: Site) -> None:
    site.owner.sendto(site.own, b"hello", site.address(site.peer_port))
    site.owner.flush()
    data, (_, port) = site.peer.recvfrom(100)
    assert (data, port) == (b"hello", site.door_port)


def test_what_goes_elsewhere_leaves_by_the_own_socket(site: Site) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(5)
        site.owner.sendto(site.own, b"hello", site.address(other.getsockname()[1]))
        site.owner.flush()
        assert other.recvfrom(100)[1][1] == site.own_port


def test_what_comes_through_a_door_is_received_beside_the_rest(site: Site) -> None:
    for number in range(10):
        site.peer.sendto(b"door %d" % number, ("127.0.0.1", site.door_port))
        site.peer.sendto(b"own %d" % number, ("127.0.0.1", site.own_port))
    got = site.receive()
    assert sorted(got) == sorted([*(b"door %d" % n for n in range(10)), *(b"own %d" % n for n in range(10))])
    assert [each for each in got if each[:1] == b"d"] == [b"door %d" % number for number in range(10)]


def test_nobody_else_comes_through_a_door(site: Site) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.sendto(b"stranger", ("127.0.0.1", site.door_port))
        site.peer.sendto(b"peer", ("127.0.0.1", site.door_port))
        assert [each for each in site.receive() if each] == [b"peer"]


def test_a_turn_is_bounded_and_neither_side_waits_for_the_other(site: Site) -> None:
    for number in range(MANY):  # of different lengths, so that the kernel does not join them
        own = number % 6 == 0  # whose buffer takes some 250
        port = site.own_port if own else site.door_port
        site.peer.sendto((b"own" if own else b"door") + bytes(number % 3), ("127.0.0.1", port))
    got = site.receive()
    assert {each[:1] for each in got} == {b"d", b"o"}
    while site.owner.receive_pending():
        got += site.receive()
    assert len(got) == MANY


def test_a_door_is_among_the_sockets_until_it_is_closed(site: Site) -> None:
    before = site.owner.sockets_version()
    assert (site.door, True) in site.owner.sockets()
    site.owner.close_door(site.door)
    assert site.owner.sockets() == [(site.own, True)] and site.owner.sockets_version() != before
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(site.door)
    site.owner.sendto(site.own, b"hello", site.address(site.peer_port))
    site.owner.flush()
    assert site.peer.recvfrom(100)[1][1] == site.own_port


def test_an_own_socket_is_no_door(site: Site) -> None:
    site.owner.close_door(site.own)
    assert (site.own, True) in site.owner.sockets()


@pytest.mark.parametrize(("host", "port"), [("2001:db8::1", 1), ("127.0.0.1", 0), ("nowhere", 1), ("", 1)])
def test_no_door_to_what_is_no_ipv4_address(site: Site, host: str, port: int) -> None:
    with bound() as extra:
        assert not site.owner.open_door(extra.fileno(), host, port)
        assert (extra.fileno(), True) not in site.owner.sockets()


def test_one_door_to_one_address(site: Site) -> None:
    with bound(site.family) as extra:
        assert not site.owner.open_door(extra.fileno(), "127.0.0.1", site.peer_port)


def test_a_handle_closes_its_doors() -> None:
    owner = Hooked()
    extra = bound()
    door = extra.detach()
    assert owner.open_door(door, "127.0.0.1", 9)
    del owner
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(door)
