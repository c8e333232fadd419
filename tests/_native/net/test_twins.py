"""Relays that have an address of each family: where there is no way to the one, the other is connected to.

A TCP connection to a multicast address fails everywhere as one does without a route (ENETUNREACH).
"""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from toxvpn.testing.hooked import Hooked
from toxvpn.testing.sockaddr import pack

NOWHERE4, NOWHERE6 = "224.0.0.9", "ff02::9"
PAIRS = {
    socket.AF_INET: (NOWHERE4, (NOWHERE4, "::1"), socket.AF_INET6, "::1"),
    socket.AF_INET6: (NOWHERE6, ("127.0.0.1", NOWHERE6), socket.AF_INET, "127.0.0.1"),
}
"""By the family that has no way: what is connected to, the node's addresses, and where it is."""
MOST = 256


@pytest.fixture
def owner() -> Iterator[Hooked]:
    yield Hooked()


def stream(owner: Hooked, family: socket.AddressFamily) -> int:
    with owner:
        fd = owner.socket(family, socket.SOCK_STREAM)
    os.set_blocking(fd, False)
    return fd


def connect(owner: Hooked, fd: int, host: str, port: int) -> int:
    with owner:
        return owner.connect(fd, pack(host, port))


@pytest.mark.parametrize("family", PAIRS)
def test_the_other_address_is_connected_to_where_there_is_no_way(
    owner: Hooked, family: socket.AddressFamily
) -> None:
    named, twin, other, host = PAIRS[family]
    assert owner.know_twin(*twin)
    with socket.create_server((host, 0), family=other) as relay:
        relay.settimeout(5)
        fd = stream(owner, family)
        assert connect(owner, fd, named, relay.getsockname()[1]) == errno.EINPROGRESS
        accepted, _ = relay.accept()
        with accepted, owner:
            assert owner.send(fd, b"hello") == 5
            owner.flush()
            assert accepted.recv(5) == b"hello"
            assert not os.get_inheritable(fd) and not os.get_blocking(fd)
            owner.close(fd)
            assert accepted.recv(1) == b""


@pytest.mark.parametrize("family", PAIRS)
def test_without_another_address_the_error_stays(owner: Hooked, family: socket.AddressFamily) -> None:
    fd = stream(owner, family)
    assert connect(owner, fd, PAIRS[family][0], 443) == errno.ENETUNREACH
    with owner:
        owner.close(fd)


def test_an_address_that_there_is_a_way_to_is_the_one_that_is_used(owner: Hooked) -> None:
    owner.know_twin("127.0.0.1", "::1")
    with socket.create_server(("127.0.0.1", 0)) as relay:
        relay.settimeout(5)
        fd = stream(owner, socket.AF_INET)
        assert connect(owner, fd, "127.0.0.1", relay.getsockname()[1]) in (0, errno.EINPROGRESS)
        accepted, _ = relay.accept()
        accepted.close()
        with owner:
            owner.close(fd)


def test_where_neither_address_has_a_way_the_error_stays(owner: Hooked) -> None:
    owner.know_twin(NOWHERE4, NOWHERE6)
    before = len(list(Path("/proc/self/fd").iterdir()))
    fd = stream(owner, socket.AF_INET)
    assert connect(owner, fd, NOWHERE4, 443) == errno.ENETUNREACH
    with owner:
        owner.close(fd)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_mark_of_the_handle_is_on_that_socket_too(owner: Hooked) -> None:
    if os.geteuid() != 0:
        pytest.skip("SO_MARK needs root")
    owner.set_mark(7)
    owner.know_twin("127.0.0.1", NOWHERE6)
    fd = stream(owner, socket.AF_INET6)
    connect(owner, fd, NOWHERE6, 1)
    with socket.socket(fileno=os.dup(fd)) as same:
        assert same.family == socket.AF_INET
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == 7
    with owner:
        owner.close(fd)


def test_only_addresses_are_kept_and_not_too_many(owner: Hooked) -> None:
    assert not owner.know_twin("tox.example.org", "::1")
    assert not owner.know_twin("127.0.0.1", "127.0.0.1")
    for number in range(MOST):
        assert owner.know_twin(f"10.0.0.{number}", f"2001:db8::{number:x}")
    assert not owner.know_twin("10.0.1.1", "2001:db8::1:1")
    assert owner.know_twin("10.0.0.1", "2001:db8::2:1")
