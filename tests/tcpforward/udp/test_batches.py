"""Datagrams in batches: whole, in order, and each as long as it was."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn._native.net.datagrams import Gatherer
from toxvpn.tcpforward.udp.batches import (
    Batch,
    batches,
    send,
    take_batches,
    tell_destination,
)
from toxvpn.tcpforward.udp.room import make_room

BATCH_DATAGRAMS = 64
LARGEST = 65507
"""Bytes: what fits into a UDP datagram over IPv4."""
SO_TIMESTAMP = 29  # socket(7)
ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
LOOPBACK = {socket.AF_INET: "127.0.0.3", socket.AF_INET6: "::1"}


def bound(family: socket.AddressFamily, host: str) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    take_batches(sock)
    make_room(sock)
    sock.bind((host, 0))
    return sock


@pytest.fixture
def pair(no_descriptor_is_left: None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The first is connected to the second, which is not connected."""
    here, there = bound(socket.AF_INET, "127.0.0.1"), bound(socket.AF_INET, "127.0.0.1")
    here.connect(there.getsockname())
    with here, there:
        yield here, there


def cut(batch: Batch) -> list[bytes]:
    size = batch.segment_bytes
    return [bytes(batch.data[at : at + size]) for at in range(0, len(batch.data) or 1, size or 1)]


def read(sock: socket.socket) -> tuple[list[bytes], int]:
    """Datagrams, and the batches in which they came."""
    found, count = [], 0
    for batch in batches(sock, Gatherer()):
        found += cut(batch)
        assert len(cut(batch)) == batch.datagrams
        count += 1
    return found, count


def test_datagrams_of_one_length_are_one_batch(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    sent = [bytes([number]) * 1200 for number in range(40)] + [b"the last is shorter"]
    for each in sent:
        here.send(each)
    assert read(there) == (sent, 1)
    send(here, memoryview(b"".join(sent)), 1200)
    assert read(there) == (sent, 1)


def test_a_batch_is_no_larger_than_the_kernel_sends(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    sent = [bytes([number]) for number in range(BATCH_DATAGRAMS + 6)]
    for each in sent:
        here.send(each)
    assert read(there) == (sent, 2)


def test_the_largest_datagram_is_whole_behind_others(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    sent = [b"small", bytes(range(256)) * 255 + bytes(LARGEST - 256 * 255), b"", b"small"]
    for each in sent:
        send(here, memoryview(each), len(each))
    assert read(there)[0] == sent


def test_senders_are_kept_apart(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    with bound(socket.AF_INET, "127.0.0.1") as other:
        here.send(b"one")
        other.sendto(b"two", there.getsockname())
        here.send(b"one")
        found = [(cut(batch), batch.source) for batch in batches(there, Gatherer())]
        assert found == [
            ([b"one"], here.getsockname()),
            ([b"two"], other.getsockname()),
            ([b"one"], here.getsockname()),
        ]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_an_answer_comes_from_the_address_that_was_asked(
    family: socket.AddressFamily, no_descriptor_is_left: None
) -> None:
    with bound(family, ANY[family]) as server, bound(family, LOOPBACK[family]) as client:
        tell_destination(server)
        client.connect((LOOPBACK[family], server.getsockname()[1]))
        client.send(b"question")
        [batch] = batches(server, Gatherer())
        answer = memoryview(b"onetwo3")
        send(server, answer, 3, batch.to_us, batch.source)
        assert read(client)[0] == [b"one", b"two", b"3"]


def test_control_data_that_is_cut_short_is_left_out() -> None:
    """As on a socket that its maker has told to give more than there is room for."""
    family = socket.AF_INET6
    with bound(family, ANY[family]) as server, bound(family, LOOPBACK[family]) as client:
        tell_destination(server)
        server.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)
        client.sendto(b"question", (LOOPBACK[family], server.getsockname()[1]))
        [batch] = batches(server, Gatherer())
        assert (bytes(batch.data), batch.to_us) == (b"question", ())


def test_nobody_there(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    there.close()
    here.send(b"hello")
    with pytest.raises(ConnectionRefusedError):
        list(batches(here, Gatherer()))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 1500) | st.sampled_from([1200, 30_000, LARGEST]), max_size=40))
def test_any_datagrams_come_through_whole(lengths: list[int]) -> None:
    here, there = bound(socket.AF_INET, "127.0.0.1"), bound(socket.AF_INET, "127.0.0.1")
    with here, there:
        here.connect(there.getsockname())
        gatherer = Gatherer()
        found: list[bytes] = []
        for number, length in enumerate(lengths):
            here.send(bytes([number]) * length)
            if number % 3 == 2 or length > 10_000 or number == len(lengths) - 1:  # what a socket may hold
                for batch in batches(there, gatherer):
                    send(there, batch.data, batch.segment_bytes, (), here.getsockname())
                    found += read(here)[0]
        assert found == [bytes([number]) * length for number, length in enumerate(lengths)]
