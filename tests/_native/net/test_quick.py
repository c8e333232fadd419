"""Of several relays to a friend the quick one carries its packets; streams are used as by libtoxcore."""

import errno
import itertools
import os
import socket
from collections.abc import Iterator

import pytest

from toxvpn._native import toxcore
from toxvpn._native.net import netio
from toxvpn.testing.boxes import seal_for_relay
from toxvpn.testing.hooked import Hooked, set_time
from toxvpn.testing.sockaddr import pack

ANN, BOB = 16, 255
"""The least and the greatest number that a relay gives to a friend."""
TO_RELAY = 15
LENGTH_AND_TAG = 18
S = 1_000_000_000


@pytest.fixture(scope="module", autouse=True)
def _sealing() -> None:
    assert toxcore.Tox is not None  # whose import puts the hooks in place
    assert netio.hooks().quick.in_force


class Relays:
    """Connections of one owner, in the order in which libtoxcore would try them."""

    def __init__(self) -> None:
        self.owner = Hooked()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._bodies = itertools.count()

    def add(self, quick: bool | None = None) -> int:
        """None: not looked at yet."""
        with self.owner:
            fd = self.owner.socket(socket.AF_INET, socket.SOCK_STREAM)
        with socket.socket(fileno=os.dup(fd)) as same:
            same.connect(self._listener.getsockname())
            same.setblocking(False)
        self._ends.append(self._listener.accept()[0])
        if quick is not None:
            self.owner.rank_relay(fd, quick)
        return fd

    def write(self, fd: int, text: bytes, *, sealed: bool = True) -> bool:
        """Whether the connection takes it."""
        if sealed:
            seal_for_relay(text)
        try:
            return self.owner.send(fd, bytes(LENGTH_AND_TAG + len(text))) > 0
        except OSError as error:
            assert error.errno == errno.EAGAIN
            return False

    def send(self, friend: int, *relays: int, body: bytes = b"") -> int | None:
        """The relay that takes a packet for the friend; None: none did."""
        body = body or next(self._bodies).to_bytes(20, "big")
        with self.owner:
            return next((fd for fd in relays if self.write(fd, bytes([friend]) + body)), None)

    def call(self, friend: int, *relays: int) -> bool:
        with self.owner:
            self.owner.begin_call()
            assert self.send(friend, *relays) is None
            return self.owner.end_call()

    def close(self) -> None:
        for each in (self._listener, *self._ends):
            each.close()


@pytest.fixture
def relays() -> Iterator[Relays]:
    made = Relays()
    yield made
    made.close()


def test_the_first_relay_is_used_until_a_call_has_found_a_quick_one(relays: Relays) -> None:
    slow, quick = relays.add(False), relays.add(True)
    assert relays.send(ANN, slow, quick) == slow
    assert relays.call(ANN, slow, quick)
    assert [relays.send(ANN, slow, quick) for _ in range(3)] == [quick] * 3
    assert relays.send(BOB, slow, quick) == slow, "who was not called"


def test_a_relay_is_quick_for_whom_it_was_when_called(relays: Relays) -> None:
    """A friend's own relay carries what goes to that friend, and nobody else's packets."""
    slow, anns = relays.add(False), relays.add(True)
    assert relays.call(ANN, slow, anns)
    relays.owner.rank_relay(anns, quick=False)
    assert not relays.call(BOB, slow, anns)
    assert [relays.send(friend, slow, anns) for friend in (ANN, BOB, ANN)] == [anns, slow, anns]


def test_without_a_quick_relay_nothing_changes(relays: Relays) -> None:
    slow, other, unknown = relays.add(False), relays.add(False), relays.add()
    assert not relays.call(ANN, slow, other)
    assert not relays.call(BOB)
    assert relays.send(ANN, slow, other) == slow
    with relays.owner:
        relays.owner.begin_call()
        assert relays.send(ANN, unknown) == unknown, "a connection that is not ranked yet"
        assert relays.write(slow, bytes([TO_RELAY]) + bytes(20)), "of no friend"
        assert not relays.owner.end_call()


def test_packets_for_the_relay_itself_are_never_refused(relays: Relays) -> None:
    slow, quick = relays.add(False), relays.add(True)
    assert relays.call(ANN, slow, quick)
    assert relays.write(slow, bytes([TO_RELAY]) + bytes(20))
    assert relays.write(slow, bytes([ANN]) + bytes(20), sealed=False), "what waited, and was sealed before"
    assert not relays.write(slow, bytes([ANN]) + bytes(22))
    assert relays.write(slow, bytes([ANN]) + bytes(22), sealed=False), "the same length, and sealed before"
    seal_for_relay(bytes([ANN]) + bytes(21))
    assert relays.write(slow, bytes(20), sealed=False), "another length than what was sealed last"
    assert relays.write(slow, bytes([ANN])), "too short to be told apart"


def test_when_the_friend_leaves_the_quick_relay_one_packet_is_lost(relays: Relays) -> None:
    slow, other, quick = relays.add(False), relays.add(False), relays.add(True)
    for friend in (ANN, BOB):
        assert relays.call(friend, slow, other, quick)
    assert relays.send(ANN, slow, other) is None
    assert relays.send(BOB, slow, other, quick) == quick
    assert [relays.send(ANN, slow, other) for _ in range(2)] == [slow] * 2


def test_the_same_packet_again_finds_a_slow_relay(relays: Relays) -> None:
    """As libtoxcore repeats the first packets of a connection, byte by byte."""
    slow, quick = relays.add(False), relays.add(True)
    assert relays.call(ANN, slow, quick)
    assert relays.send(ANN, slow, body=bytes(30)) is None
    assert relays.send(ANN, slow, body=bytes(30)) == slow


def test_a_call_for_another_friend_does_not_hide_that_nobody_took_a_packet(relays: Relays) -> None:
    """Or a packet a second, as the first ones of a connection, would be refused for ever."""
    slow, quick = relays.add(False), relays.add(True)
    assert relays.call(ANN, slow, quick)
    assert relays.send(ANN, slow) is None
    assert relays.call(BOB, slow, quick)
    assert relays.send(ANN, slow) == slow


def test_what_a_call_has_shown_holds_for_some_seconds(relays: Relays) -> None:
    """The number may be another friend's by then, who is not to depend on that relay."""
    slow, quick = relays.add(False), relays.add(True)
    set_time(1000 * S)
    try:
        assert relays.call(ANN, slow, quick)
        set_time(1003 * S)
        assert relays.send(ANN, slow, quick) == quick
        set_time(1004 * S)
        assert relays.send(ANN, slow, quick) == slow
    finally:
        set_time(None)


def test_a_full_quick_relay_is_waited_for(relays: Relays) -> None:
    """What comes later by another way would come out of order."""
    before, quick, behind = relays.add(False), relays.add(True), relays.add(False)
    assert relays.call(ANN, before, quick, behind)
    while relays.send(ANN, before, quick, behind, body=os.urandom(1400)) == quick:
        pass
    for _ in range(3):
        assert relays.send(ANN, before, quick, behind, body=os.urandom(1400)) is None


def test_a_connection_that_ends_is_forgotten(relays: Relays) -> None:
    slow, quick = relays.add(False), relays.add(True)
    assert relays.call(ANN, slow, quick)
    assert relays.send(ANN, slow) is None
    with relays.owner:
        relays.owner.close(slow)
    again = relays.add(False)
    assert relays.send(ANN, again, quick) == again


def test_a_call_leaves_the_machine_by_no_way(relays: Relays) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        there.settimeout(5)
        to = pack(*there.getsockname())
        with relays.owner:
            fd = relays.owner.socket(socket.AF_INET, socket.SOCK_DGRAM)
            relays.owner.begin_call()
            assert relays.owner.sendto(fd, b"called", to) == 6
            relays.owner.end_call()
            relays.owner.sendto(fd, b"sent", to)
        assert there.recv(100) == b"sent"
