"""What a peer sends from a place where libtoxcore does not know it yet is handed out again when it does."""

import ctypes
import os
import socket
from collections.abc import Iterator
from time import monotonic_ns

import pytest

from toxvpn._native import toxcore
from toxvpn._native.net import netio
from toxvpn.testing.hooked import Hooked, set_time

KEY = os.urandom(32)
PING_RESPONSE, GET_NODES, SEND_NODES, HANDSHAKE, DATA = 1, 2, 4, 26, 27
MOST = 32
ROOM = 2048

assert toxcore.__file__, "importing it puts the hooks in force"

pytestmark = pytest.mark.skipif(
    not netio.hooks().crypto.in_force, reason="whether a datagram was opened is seen by our own encryption"
)


class Receiver:
    """A socket under the hooks, read as libtoxcore reads: into one buffer, until there is no more."""

    def __init__(self) -> None:
        self.owner = Hooked()
        self.knows_places = False
        """Whether it would open what comes."""
        with self.owner:
            self.fd = self.owner.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._bound = socket.socket(fileno=os.dup(self.fd))
        self._bound.setblocking(False)
        self._bound.bind(("127.0.0.1", 0))
        self._buffer = ctypes.create_string_buffer(ROOM)
        self.senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sender in self.senders:
            sender.connect(self._bound.getsockname())

    def turn(self, *datagrams: bytes, sender: int = 0) -> list[bytes]:
        """What libtoxcore gets in a turn in which these come."""
        for datagram in datagrams:
            self.senders[sender].send(datagram)
        with self.owner:
            got = []
            while (data := self.owner.recv_into(self.fd, self._buffer)) is not None:
                got.append(data)
                if data[:1] == bytes([DATA]) and self.knows_places:
                    self.owner.open_a_box()
        return got

    def close(self) -> None:
        with self.owner:
            self.owner.close(self.fd)
        for each in (self._bound, *self.senders):
            each.close()
        set_time(None)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def request(key: bytes = KEY) -> bytes:
    return bytes([GET_NODES]) + key + os.urandom(80)


def data(number: int = 0) -> bytes:
    return bytes([DATA]) + number.to_bytes(2) + os.urandom(40)


def answer(kind: int = SEND_NODES) -> bytes:
    return bytes([kind]) + KEY + os.urandom(80)


@pytest.mark.parametrize("kind", [PING_RESPONSE, SEND_NODES])
def test_what_came_early_comes_again_in_its_order_once_the_key_has_answered(
    receiver: Receiver, kind: int
) -> None:
    early = [data(number) for number in range(5)]
    receiver.turn(request())
    assert receiver.turn(*early) == early
    [(key, *_)] = receiver.owner.sightings()
    assert key == KEY, "so that it is asked"
    answered = answer(kind)
    later = data(9)
    assert receiver.turn(answered, later) == [answered, *early, later]
    receiver.knows_places = True
    assert receiver.turn(answer())[1:] == [later], "it was ignored as well"
    assert len(receiver.turn(answer())) == 1


def test_nothing_comes_twice_that_was_opened(receiver: Receiver) -> None:
    receiver.knows_places = True
    receiver.turn(request())
    receiver.turn(data())
    assert receiver.owner.sightings() == []
    assert len(receiver.turn(answer())) == 1


def test_nothing_is_kept_of_who_never_asked(receiver: Receiver) -> None:
    receiver.turn(request(), sender=1)
    receiver.turn(data(), b"", bytes([HANDSHAKE]) * 50)
    assert receiver.owner.sightings() == []
    assert len(receiver.turn(answer())) == 1


def test_only_the_answer_from_that_place_counts(receiver: Receiver) -> None:
    receiver.turn(request())
    receiver.turn(data())
    assert len(receiver.turn(answer(), sender=1)) == 1
    assert len(receiver.turn(answer())) == 2


def test_the_last_few_are_kept_and_not_for_long(receiver: Receiver) -> None:
    now_ns = monotonic_ns()
    set_time(now_ns)
    early = [data(number) for number in range(MOST + 3)]
    receiver.turn(request())
    receiver.turn(*early)
    assert receiver.turn(answer())[1:] == early[3:]
    receiver.turn(*early)
    set_time(now_ns + 1_500_000_000)
    assert len(receiver.turn(answer())) == 1


def test_a_watched_peer_is_asked_again_but_not_for_each_datagram(receiver: Receiver) -> None:
    """Its first answer may have been lost."""
    now_ns = monotonic_ns()
    set_time(now_ns)
    receiver.owner.watch(KEY)
    receiver.turn(request())
    assert len(receiver.owner.sightings()) == 1
    receiver.turn(data(), data())
    assert len(receiver.owner.sightings()) == 1
    receiver.turn(data())
    assert receiver.owner.sightings() == []
    set_time(now_ns + 200_000_000)
    receiver.turn(data())
    assert len(receiver.owner.sightings()) == 1
