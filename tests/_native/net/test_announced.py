"""Announcements of late are sent once more, from where this machine is now."""

import socket
from collections.abc import Iterator

import pytest

from toxvpn.testing import hooked
from toxvpn.testing.hooked import Hooked
from toxvpn.testing.sockaddr import pack

REQUEST = b"\x80" + bytes(402)
ANNOUNCEMENT, SEARCH = b"\x01" + bytes(103), bytes(32) + b"\x01" * 72
MOST, LONGEST, KEPT_S = 48, 512, 150
SECOND_NS = 10**9


@pytest.fixture
def node() -> Iterator[socket.socket]:
    """Another machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def owner() -> Iterator[Hooked]:
    hooked.set_time(SECOND_NS)
    yield Hooked()
    hooked.set_time(None)


@pytest.fixture
def fd(owner: Hooked) -> int:
    with owner:
        return owner.socket(socket.AF_INET, socket.SOCK_DGRAM)


def send(owner: Hooked, fd: int, node: socket.socket, *datagrams: bytes, text: bytes = ANNOUNCEMENT) -> None:
    with owner:
        for datagram in datagrams:
            owner.making_announcement(text)
            owner.sendto(fd, datagram, pack(*node.getsockname()))
    received(node)


def received(node: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(node.recv(2048))
    except BlockingIOError:
        return found


def test_requests_go_out_again_as_they_were(owner: Hooked, fd: int, node: socket.socket) -> None:
    assert owner.announce_again() == 0
    longest = b"\x80" + bytes(range(255)) * 2 + b"\x01"
    send(owner, fd, node, REQUEST, longest)
    assert len(longest) == LONGEST
    for _ in range(2):
        assert owner.announce_again() == 2
        assert received(node) == [REQUEST, longest]


@pytest.mark.parametrize("other", [b"\x04" + bytes(402), b"", b"\x80" + bytes(LONGEST)])
def test_nothing_else_does(owner: Hooked, fd: int, node: socket.socket, other: bytes) -> None:
    send(owner, fd, node, other)
    assert owner.announce_again() == 0 and received(node) == []


def test_searches_do_not(owner: Hooked, fd: int, node: socket.socket) -> None:
    send(owner, fd, node, REQUEST, text=SEARCH)
    assert owner.announce_again() == 0


def test_what_follows_an_announcement_does_not(owner: Hooked, fd: int, node: socket.socket) -> None:
    send(owner, fd, node, REQUEST)
    with owner:
        owner.sendto(fd, REQUEST + b"next", pack(*node.getsockname()))
    received(node)
    assert owner.announce_again() == 1 and received(node) == [REQUEST]


def test_old_ones_do_not(owner: Hooked, fd: int, node: socket.socket) -> None:
    send(owner, fd, node, REQUEST + b"old")
    hooked.set_time(KEPT_S * SECOND_NS)
    send(owner, fd, node, REQUEST + b"new")
    hooked.set_time((1 + KEPT_S) * SECOND_NS)
    assert owner.announce_again() == 2
    received(node)
    hooked.set_time((1 + KEPT_S) * SECOND_NS + 1)
    assert owner.announce_again() == 1 and received(node) == [REQUEST + b"new"]


def test_only_the_last_ones_are_kept(owner: Hooked, fd: int, node: socket.socket) -> None:
    numbered = [REQUEST + bytes([number]) for number in range(MOST + 10)]
    send(owner, fd, node, *numbered)
    assert owner.announce_again() == MOST
    assert sorted(received(node)) == numbered[10:]


def test_not_through_a_socket_that_is_closed_or_another_owners(
    owner: Hooked, fd: int, node: socket.socket
) -> None:
    send(owner, fd, node, REQUEST)
    with owner:
        owner.close(fd)
    assert owner.announce_again() == 0
    other = Hooked()
    with other:
        assert other.socket(socket.AF_INET, socket.SOCK_DGRAM) == fd
    assert owner.announce_again() == 0 and received(node) == []
