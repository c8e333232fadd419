"""TCP connections through the hooks carry the bytes that plain ones would have carried.

One end is hooked and used as libtoxcore does; the other is an ordinary socket.
"""

import contextlib
import errno
import fcntl
import os
import socket
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn._native.net import netio
from toxvpn.testing.hooked import Hooked, fail_sends
from toxvpn.testing.sockaddr import pack

KB = 1 << 10
MB = 1 << 20
WAITING = 128 * KB
TURN = 512 * KB


class Stream:
    """A hooked end of `owner`, and the plain one at its other side."""

    def __init__(self, owner: Hooked, listener: socket.socket) -> None:
        self.owner = owner
        with owner:
            self.fd = owner.socket(socket.AF_INET, socket.SOCK_STREAM)
        with socket.socket(fileno=os.dup(self.fd)) as same:
            same.connect(listener.getsockname())
            same.setblocking(False)
        self.far, _ = listener.accept()
        self.far.settimeout(10)
        self.next_length = 0

    def arrived(self, count: int) -> None:
        """Waits until so many bytes are in the kernel of the hooked end."""
        with socket.socket(fileno=os.dup(self.fd)) as same:
            same.settimeout(10)
            while len(same.recv(count, socket.MSG_PEEK)) < count:
                pass

    def received(self, count: int) -> bytes:
        """So many bytes at the other side; what waits here is flushed meanwhile."""
        data = b""
        while len(data) < count:
            data += self.far.recv(count - len(data))
            self.owner.flush()
        return data

    def packets(self) -> list[bytes]:
        """Reads whole packets for as long as there are some: two bytes of length, then as many bytes."""
        found: list[bytes] = []
        while True:
            if not self.next_length:
                if self.owner.readable(self.fd) < 2:
                    return found
                self.next_length = int.from_bytes(self.owner.recv(self.fd, 2), "big")
            if self.owner.readable(self.fd) < self.next_length:
                return found
            found.append(self.owner.recv(self.fd, self.next_length))
            self.next_length = 0

    def under_way(self) -> int:
        """How many bytes the kernel was given that the other side has not acknowledged."""
        with socket.socket(fileno=os.dup(self.fd)) as same:
            return int.from_bytes(fcntl.ioctl(same, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def fill(self, packet: bytes) -> int:
        """Sends packets until no more may wait and the other side's kernel takes no more: how many."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                with self.owner:
                    count += self.owner.send(self.fd, packet) == len(packet)
        return count

    def close(self) -> None:
        self.owner.close(self.fd)
        self.far.close()


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2, "big") + packet


def readable(plain: socket.socket) -> int:
    return int.from_bytes(fcntl.ioctl(plain, termios.FIONREAD, bytes(4)), sys.byteorder)


def until(condition: Callable[[], bool], what: str) -> None:
    give_up_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up_s, what
        time.sleep(0.001)


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)  # as between two machines
        yield listener


@contextlib.contextmanager
def streams(listener: socket.socket, count: int) -> Iterator[list[Stream]]:
    owner = Hooked()
    made = [Stream(owner, listener) for _ in range(count)]
    try:
        yield made
    finally:
        fail_sends([])
        for stream in made:
            stream.close()


@pytest.fixture
def stream(listener: socket.socket) -> Iterator[Stream]:
    with streams(listener, 1) as (stream,):
        yield stream


class Counted:
    def __init__(self) -> None:
        self._before = netio.counters()

    def __getitem__(self, name: str) -> int:
        return netio.counters()[name] - self._before[name]


# -- in -------------------------------------------------------------------------------------------

packets = st.lists(st.binary(min_size=1, max_size=2048), max_size=8).map(
    lambda some: [packet for packet in some for _ in range(3)]
)


@given(sent=st.lists(st.tuples(st.integers(0, 2), packets, st.integers(0, 3000)), max_size=6))
@settings(max_examples=40, deadline=None)
def test_packets_arrive_whole_and_in_order_however_they_are_cut(
    listener: socket.socket, sent: list[tuple[int, list[bytes], int]]
) -> None:
    """Of several streams at once; what is left of one stays while another is read."""
    with streams(listener, 3) as many:
        expected: list[list[bytes]] = [[], [], []]
        found: list[list[bytes]] = [[], [], []]
        unsent = [b"", b"", b""]
        for number, some, cut in [*sent, *((number, [], -1) for number in range(3))]:
            expected[number] += some
            unsent[number] += b"".join(map(framed, some))
            now = unsent[number] if cut < 0 else unsent[number][:cut]
            unsent[number] = unsent[number][len(now) :]
            many[number].far.sendall(now)
            waiting = len(now)
            while waiting:
                many[number].arrived(1)
                before = netio.counters()["stream_received"]
                with many[0].owner:
                    for which, stream in enumerate(many):
                        found[which] += stream.packets()
                waiting -= netio.counters()["stream_received"] - before
        assert found == expected


def test_a_packet_of_a_relay_is_an_answer_and_what_comes_before_is_none(stream: Stream) -> None:
    """Who lets us connect may be a portal; only a relay's packets have a length that is read by itself."""
    before = stream.owner.answers()
    stream.far.sendall(bytes(96) + framed(b"one") + framed(b"two"))
    stream.arrived(96)
    with stream.owner:
        assert len(stream.owner.recv(stream.fd, 96)) == 96
        assert stream.owner.answers() == before
        assert stream.packets() == [b"one", b"two"]
    assert stream.owner.answers() == before + 2


def test_packets_to_and_from_a_relay_of_our_own_are_no_answers() -> None:
    """toxcore sends itself some over it, also where there is no network; so do others in this house."""
    owner = Hooked()
    with owner:
        relay = owner.socket(socket.AF_INET, socket.SOCK_STREAM)
    with socket.socket(fileno=os.dup(relay)) as same:
        same.bind(("127.0.0.1", 0))
        same.listen()
        to = pack(*same.getsockname())
    with owner:
        client = owner.socket(socket.AF_INET, socket.SOCK_STREAM)
        assert owner.connect(client, to) == 0
        server = owner.accept(relay)
        for sender, receiver in ((client, server), (server, client)):
            owner.send(sender, framed(b"onion"))
            owner.flush()
            assert owner.readable(receiver) == 7
            assert owner.recv(receiver, 2) == b"\0\5"
    assert owner.answers() == 0
    for fd in (client, server, relay):
        owner.close(fd)


def test_one_call_receives_many_packets(stream: Stream) -> None:
    data = framed(bytes(1400)) * 40
    stream.far.sendall(data)
    stream.arrived(len(data))
    counted = Counted()
    with stream.owner:
        assert stream.packets() == [bytes(1400)] * 40
    assert counted["stream_receive_calls"] == 1


def test_what_comes_later_is_for_the_next_turn(stream: Stream) -> None:
    stream.far.sendall(framed(b"one"))
    stream.arrived(1)
    with stream.owner:
        assert stream.packets() == [b"one"]
        stream.far.sendall(framed(b"two"))
        stream.arrived(1)
        assert stream.packets() == []
    with stream.owner:
        assert stream.packets() == [b"two"]
    assert stream.owner.readable(stream.fd) == 0  # outside of turns


def test_a_turn_has_enough_of_a_stream_at_some_time(listener: socket.socket) -> None:
    """Others get their turn; the rest is asked for again soon."""
    data = framed(bytes(2000)) * (2 * TURN // 2002)
    with streams(listener, 2) as (busy, other):
        found = 0
        busy.far.setblocking(False)
        other.far.sendall(framed(b"other"))
        other.arrived(1)
        with busy.owner:
            while data or busy.owner.readable(busy.fd):
                with contextlib.suppress(BlockingIOError):
                    data = data[busy.far.send(data) :]
                if not (more := busy.packets()):
                    break
                found += len(more)
            assert other.packets() == [b"other"]
        assert found * 2002 <= TURN + 256 * KB
        if busy.owner.receive_pending():
            with busy.owner:
                assert busy.packets()


def test_the_end_of_a_stream_is_no_data(stream: Stream) -> None:
    stream.far.sendall(framed(b"last") + b"\0")
    stream.far.shutdown(socket.SHUT_WR)
    stream.arrived(7)
    for expected in [b"last"], [], []:
        with stream.owner:
            assert stream.packets() == expected
            assert stream.owner.readable(stream.fd) == 1


def test_an_empty_stream_is_read_plainly(stream: Stream) -> None:
    with pytest.raises(BlockingIOError):
        stream.owner.recv(stream.fd)
    stream.far.sendall(b"plain")
    stream.arrived(5)
    assert stream.owner.recv(stream.fd) == b"plain"


# -- out ------------------------------------------------------------------------------------------


def test_the_packets_of_a_turn_leave_in_one_call(stream: Stream) -> None:
    counted = Counted()
    with stream.owner:
        for number in range(40):
            assert stream.owner.send(stream.fd, bytes([number]) * 1400) == 1400
        assert counted["stream_send_calls"] == 0
    assert counted["stream_send_calls"] == 1
    assert stream.received(40 * 1400) == b"".join(bytes([n]) * 1400 for n in range(40))


def test_much_leaves_within_the_turn(stream: Stream) -> None:
    counted = Counted()
    with stream.owner:
        for _ in range(64 * KB // 1024 + 1):
            stream.owner.send(stream.fd, bytes(1024))
        assert counted["stream_sent"] == 64 * KB


def test_outside_of_turns_nothing_waits(stream: Stream) -> None:
    stream.owner.send(stream.fd, b"at once")
    assert stream.far.recv(100) == b"at once"


def test_what_there_is_no_room_for_waits_in_order_and_is_bounded(stream: Stream) -> None:
    counted = Counted()
    fail_sends([errno.EAGAIN] * 1000)
    with stream.owner:
        taken = 0
        with pytest.raises(BlockingIOError):
            while True:
                taken += stream.owner.send(stream.fd, taken.to_bytes(4, "big") * 256)
        assert WAITING - 1024 <= taken <= WAITING
    assert counted["stream_refused"] == 1
    assert counted["stream_sent"] == 0
    fail_sends([])
    stream.owner.flush()
    assert stream.received(taken) == b"".join(
        number.to_bytes(4, "big") * 256 for number in range(0, taken, 1024)
    )
    stream.owner.send(stream.fd, b"again")
    assert stream.far.recv(100) == b"again"


def test_a_part_that_the_kernel_took_is_not_sent_again(stream: Stream) -> None:
    """The kernel's own buffer fills, while the other side does not read."""
    with socket.socket(fileno=os.dup(stream.fd)) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * KB)
    sent = b""
    with pytest.raises(BlockingIOError):
        while True:
            with stream.owner:
                packet = len(sent).to_bytes(4, "big") * 350
                stream.owner.send(stream.fd, packet)
                sent += packet
    assert stream.received(len(sent)) == sent


def test_the_kernel_is_given_whole_packets_that_the_other_side_has_room_for(stream: Stream) -> None:
    """A relay that waits for the rest of a packet, with its receive buffer full, would wait for ever."""
    packet = framed(bytes(1419))
    stream.fill(packet)
    until(lambda: stream.under_way() == 0, "what was sent is with the other side")
    assert stream.owner.streams_held()
    assert readable(stream.far) > 30 * KB
    assert readable(stream.far) % len(packet) == 0


@pytest.mark.parametrize("size", [60, 1419, 2048])
def test_a_relay_that_reads_whole_packets_only_gets_them_all(stream: Stream, size: int) -> None:
    packet = framed(bytes(size))
    sent = read = 0
    give_up_s = time.monotonic() + 60
    while sent < 4 * MB:
        assert time.monotonic() < give_up_s, "stuck"
        sent += stream.fill(packet) * len(packet)
        while readable(stream.far) >= len(packet):
            read += len(stream.far.recv(len(packet)))
        stream.owner.flush()

    def all_read() -> bool:
        nonlocal read
        stream.owner.flush()
        while readable(stream.far) >= len(packet):
            read += len(stream.far.recv(len(packet)))
        return read == sent

    until(all_read, "every packet is read")
    assert not stream.owner.streams_held()


def test_a_large_packet_among_small_ones_reaches_who_has_little_room() -> None:
    """It would never fit into a quarter of that window."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with streams(listener, 1) as (stream,):
            stream.far.settimeout(0.01)
            with stream.owner:
                for size in (1400, *[27] * 5):
                    stream.owner.send(stream.fd, bytes(size))
            found = bytearray()

            def arrived() -> bool:
                stream.owner.flush()
                with contextlib.suppress(TimeoutError):
                    found.extend(stream.far.recv(65536))
                return len(found) == 1400 + 27 * 5

            until(arrived, "it is held for ever")


def test_an_interrupted_call_is_made_again(stream: Stream) -> None:
    fail_sends([errno.EINTR, 0])
    stream.owner.send(stream.fd, b"data")
    assert stream.far.recv(100) == b"data"


def test_a_broken_connection_fails_the_next_write_as_a_plain_one(stream: Stream) -> None:
    fail_sends([errno.EPIPE])
    with stream.owner:
        assert stream.owner.send(stream.fd, b"lost") == 4
    fail_sends([])
    with pytest.raises(BrokenPipeError):
        stream.owner.send(stream.fd, b"more")


def test_a_stream_that_closes_sends_what_it_has(stream: Stream) -> None:
    far = stream.far.dup()
    with stream.owner:
        stream.owner.send(stream.fd, b"farewell")
        stream.owner.close(stream.fd)
        stream.fd = stream.owner.socket(socket.AF_INET, socket.SOCK_STREAM)
    with far:
        assert far.recv(100) + far.recv(100) == b"farewell"


def test_a_stream_that_closes_may_hold_the_room_that_others_need(listener: socket.socket) -> None:
    with streams(listener, 2) as (first, second):
        for stream in second, first:
            stream.far.sendall(b"\0\3a")
            stream.arrived(3)
            with first.owner:
                assert stream.packets() == []
        first.owner.close(first.fd)
        with first.owner:
            first.fd = first.owner.socket(socket.AF_INET, socket.SOCK_STREAM)
        second.far.sendall(b"bc")
        second.arrived(2)
        with second.owner:
            assert second.packets() == [b"abc"]


def test_a_connection_that_was_replaced_beneath_is_read_on_from_the_new_one(stream: Stream) -> None:
    """tox/reach/relays.py does that to have libtoxcore give a relay up."""
    stream.far.sendall(b"\0\5a")
    stream.arrived(3)
    with stream.owner:
        assert stream.packets() == []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        ours.sendall(b"\xff" * 4096)
        os.dup2(theirs.fileno(), stream.fd, inheritable=False)
    with stream.owner:
        assert stream.packets()[0] == b"a\xff\xff\xff\xff"


def test_without_streaming_every_call_is_plain(listener: socket.socket) -> None:
    owner = Hooked(streaming=False)
    stream = Stream(owner, listener)
    counted = Counted()
    with owner:
        owner.send(stream.fd, b"at once")
        assert stream.far.recv(100) == b"at once"
        stream.far.sendall(b"answer")
        stream.arrived(6)
        assert owner.readable(stream.fd) == 6
        assert owner.recv(stream.fd) == b"answer"
    assert counted["stream_sent"] == counted["stream_received"] == 0
    stream.close()
