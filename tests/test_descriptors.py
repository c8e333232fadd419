"""Descriptors come with their packet, closed on exec; what has no room is reported as cut off."""

import os
import socket
from collections.abc import Iterator

import pytest

from toxvpn import descriptors

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield ends
    for end in ends:
        end.close()


def test_each_packet_has_its_own(pair: Pair) -> None:
    socket.send_fds(pair[0], [b"two"], [0, 1])
    socket.send_fds(pair[0], [b"none"], [])
    data, got, is_cut = descriptors.receive(pair[1], 100, 2)
    assert (data, len(got), is_cut) == (b"two", 2, False)
    assert not any(os.get_inheritable(descriptor) for descriptor in got)
    descriptors.close(got)
    assert descriptors.receive(pair[1], 100, 2) == (b"none", [], False)


def test_a_longer_packet_is_cut(pair: Pair) -> None:
    pair[0].send(b"0123456789")
    assert descriptors.receive(pair[1], 4, 1) == (b"0123", [], True)


def test_too_many_descriptors_are_cut(pair: Pair) -> None:
    socket.send_fds(pair[0], [b"x"], [0] * 10)
    data, got, is_cut = descriptors.receive(pair[1], 100, 1)
    assert data == b"x" and len(got) < 10 and is_cut
    descriptors.close(got)


def test_the_other_end_is_closed(pair: Pair) -> None:
    pair[0].close()
    assert descriptors.receive(pair[1], 100, 1) == (b"", [], False)


def test_the_other_end_died_without_reading(pair: Pair) -> None:
    pair[1].send(b"unread")
    pair[0].close()
    assert descriptors.receive(pair[1], 100, 1) == (b"", [], False)


def test_nothing_has_come_yet(pair: Pair) -> None:
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        descriptors.receive(pair[1], 100, 1)
