"""Datagrams through the hooks are the datagrams that plain sockets would have carried.

The hooks send, receive, or do both, over loopback; the other side is an ordinary socket.
"""

import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn._native.net import netio
from toxvpn.testing import sockaddr
from toxvpn.testing.hooked import Hooked

Address = tuple[str, int]
# What is sent before the receivers are drained; the kernel may count it up to four times as much.
STRETCH_BYTES = 100_000
BUFFER_BYTES = 212_992  # net.core.rmem_max by default; the kernel doubles it


class End:
    """A bound UDP socket, plain or hooked."""

    def __init__(self, family: socket.AddressFamily, host: str, hooked: bool) -> None:
        self.owner = Hooked() if hooked else None
        if self.owner:
            with self.owner:
                fd = self.owner.socket(family, socket.SOCK_DGRAM)
            self.socket = socket.socket(family, socket.SOCK_DGRAM, fileno=fd)
        else:
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self.socket.bind((host, 0))

    @property
    def fd(self) -> int:
        return self.socket.fileno()

    def address(self, host: str) -> Address:
        return host, self.socket.getsockname()[1]

    def send(self, data: bytes, to: Address) -> None:
        if self.owner:
            assert self.owner.sendto(self.fd, data, sockaddr.pack(*to)) == len(data)
        else:
            self.socket.sendto(data, to)

    def receive(self, room: int = 65536) -> tuple[bytes, Address]:
        if self.owner:
            data, source = self.owner.recvfrom(self.fd, room)
            return data, sockaddr.unpack(source)
        data, source = self.socket.recvfrom(room)
        return data, source[:2]

    def drain(self) -> list[tuple[bytes, Address]]:
        received = []
        pending = True
        while pending:
            with self.turn(), contextlib.suppress(BlockingIOError):
                while True:
                    received.append(self.receive())
            pending = self.owner is not None and self.owner.receive_pending()
        return received

    def turn(self) -> contextlib.AbstractContextManager[object]:
        return self.owner or contextlib.nullcontext()

    def close(self) -> None:
        if self.owner:
            self.owner.close(self.socket.detach())
        self.socket.close()


@contextlib.contextmanager
def ends(*made: End) -> Iterator[tuple[End, ...]]:
    try:
        yield made
    finally:
        for end in made:
            end.close()


# name: the sender's family and bound host, the receivers' family and bound host, how the sender names them
PATHS = {
    "IPv4": (socket.AF_INET, "127.0.0.1", socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    "IPv6": (socket.AF_INET6, "::1", socket.AF_INET6, "::1", "::1"),
    "mapped to IPv4": (socket.AF_INET6, "::", socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1"),
    "mapped to dual stack": (socket.AF_INET6, "::", socket.AF_INET6, "::", "::ffff:127.0.0.1"),
}
SOURCE_SEEN = {"IPv4": "127.0.0.1", "IPv6": "::1", "mapped to IPv4": "127.0.0.1"}

sizes = st.sampled_from([0, 1, 2, 100, 1199, 1200, 1400, 9000, 40_000, 65_487, 65_500]) | st.integers(0, 1500)
runs = st.lists(st.tuples(st.integers(0, 1), sizes, st.integers(1, 80)), max_size=20)


def numbered(number: int, size: int) -> bytes:
    return (number.to_bytes(4, "big") * (size // 4 + 1))[:size]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "hooked", [(True, False), (False, True), (True, True)], ids=["send", "receive", "both"]
)
@given(runs=runs)
@settings(max_examples=60, deadline=None)
def test_same_datagrams_in_the_same_order(
    path: str, hooked: tuple[bool, bool], runs: list[tuple[int, int, int]]
) -> None:
    family, host, their_family, their_host, called = PATHS[path]
    with ends(
        End(family, host, hooked[0]),
        End(their_family, their_host, hooked[1]),
        End(their_family, their_host, hooked[1]),
    ) as (sender, *receivers):
        source = sender.address(SOURCE_SEEN.get(path, "::ffff:127.0.0.1"))
        number = 0
        for stretch in stretches(runs, bytes_per_run=STRETCH_BYTES):
            expected: list[list[tuple[bytes, Address]]] = [[], []]
            with sender.turn():
                for which, size, count in stretch:
                    for _ in range(count):
                        data = numbered(number, size if size < 65_488 or family == socket.AF_INET else 65_000)
                        sender.send(data, receivers[which].address(called))
                        expected[which].append((data, source))
                        number += 1
            assert [receiver.drain() for receiver in receivers] == expected


def stretches(runs: list[tuple[int, int, int]], bytes_per_run: int) -> Iterator[list[tuple[int, int, int]]]:
    """Yield the runs in portions that fit into a socket's buffer (a small datagram takes 768 bytes there)."""
    portion: list[tuple[int, int, int]] = []
    room = bytes_per_run
    for which, size, count in runs:
        cost = max(size, 768)
        count = max(1, min(count, bytes_per_run // cost))
        if cost * count > room:
            yield portion
            portion, room = [], bytes_per_run
        portion.append((which, size, count))
        room -= cost * count
    yield portion


@pytest.fixture
def pair() -> Iterator[tuple[End, End]]:
    """Hooked sender and receiver over IPv4."""
    with ends(End(socket.AF_INET, "127.0.0.1", True), End(socket.AF_INET, "127.0.0.1", True)) as (one, other):
        yield one, other


def difference(before: dict[str, int]) -> dict[str, int]:
    return {name: value - before[name] for name, value in netio.counters().items() if value != before[name]}


def test_one_call_each_way_for_a_batch(pair: tuple[End, End]) -> None:
    sender, receiver = pair
    before = netio.counters()
    with sender.turn():
        for number in range(44):
            sender.send(numbered(number, 1400), receiver.address("127.0.0.1"))
        assert difference(before) == {}  # nothing leaves before the turn ends
    assert difference(before) == {"sent": 44, "send_calls": 1, "segmented": 1}
    assert len(receiver.drain()) == 44
    assert difference(before)["receive_calls"] == 2  # the other one found nothing more


def test_a_batch_ends_at_64_datagrams_and_at_a_smaller_one(pair: tuple[End, End]) -> None:
    sender, receiver = pair
    before = netio.counters()
    with sender.turn():
        for number in range(65):
            sender.send(numbered(number, 100), receiver.address("127.0.0.1"))
        assert difference(before)["sent"] == 64
        sender.send(b"smaller", receiver.address("127.0.0.1"))
        sender.send(b"smaller", receiver.address("127.0.0.1"))
    assert difference(before) == {"sent": 67, "send_calls": 3, "segmented": 2}
    assert [len(data) for data, _ in receiver.drain()] == [100] * 65 + [7, 7]


def test_a_receiver_without_room_gets_each_datagrams_beginning(pair: tuple[End, End]) -> None:
    sender, receiver = pair
    with sender.turn():
        for letter in b"abc":
            sender.send(bytes([letter]) * 50, receiver.address("127.0.0.1"))
    with receiver.turn():
        received = [receiver.receive(room)[0] for room in (10, 0, 60)]
    assert received == [b"a" * 10, b"", b"c" * 50]


def test_a_flood_ends_the_turn_and_nothing_is_lost(pair: tuple[End, End]) -> None:
    sender, receiver = pair
    sent = []
    with sender.turn():
        for number in range(1000):
            sent.append(numbered(number, 8))
            sender.send(sent[-1], receiver.address("127.0.0.1"))
    received = []
    with receiver.turn(), pytest.raises(BlockingIOError):
        while True:
            received.append(receiver.receive()[0])
    assert receiver.owner is not None
    assert receiver.owner.receive_pending()
    assert receiver.owner.inbound_flushes == 1
    assert 512 <= len(received) < 512 + 64
    received += [data for data, _ in receiver.drain()]
    assert received == sent
    with receiver.turn():
        assert not receiver.owner.receive_pending()


def test_a_flood_of_single_datagrams_ends_the_turn_too(pair: tuple[End, End]) -> None:
    _, receiver = pair
    with ends(End(socket.AF_INET, "127.0.0.1", False)) as (sender,):
        with receiver.turn():
            for number in range(512):
                sender.send(numbered(number, 8), receiver.address("127.0.0.1"))
                receiver.receive()
            sender.send(b"next turn", receiver.address("127.0.0.1"))
            with pytest.raises(BlockingIOError):
                receiver.receive()
        with receiver.turn():
            assert receiver.receive()[0] == b"next turn"


def test_the_end_of_what_there_is_to_receive_is_told_within_the_turn(pair: tuple[End, End]) -> None:
    sender, receiver = pair
    assert receiver.owner
    for count in (0, 1, 3):
        with sender.turn():
            for _ in range(count):
                sender.send(b"datagram", receiver.address("127.0.0.1"))
        before = receiver.owner.inbound_flushes
        with receiver.turn():
            for _ in range(count):
                receiver.receive()
            assert receiver.owner.inbound_flushes == before
            with pytest.raises(BlockingIOError):
                receiver.receive()
            assert receiver.owner.inbound_flushes == before + (count > 0)


def test_outside_a_turn_a_datagram_leaves_at_once(pair: tuple[End, End]) -> None:
    sender, receiver = pair
    with sender.turn():
        sender.send(b"first", receiver.address("127.0.0.1"))
        with receiver.turn():  # another handle's turn
            sender.send(b"second", receiver.address("127.0.0.1"))
            assert [data for data, _ in receiver.drain()] == [b"first", b"second"]


def test_closing_sends_what_was_gathered() -> None:
    with ends(End(socket.AF_INET, "127.0.0.1", False)) as (receiver,):
        sender = End(socket.AF_INET, "127.0.0.1", True)
        with sender.turn():
            sender.send(b"last words", receiver.address("127.0.0.1"))
            sender.close()
        assert receiver.receive()[0] == b"last words"


def test_flags_are_passed_on_after_what_was_gathered(pair: tuple[End, End]) -> None:
    sender, receiver = pair
    assert sender.owner is not None
    to = sockaddr.pack(*receiver.address("127.0.0.1"))
    with sender.turn():
        sender.owner.sendto(sender.fd, b"gathered", to)
        sender.owner.sendto(sender.fd, b"flagged", to, socket.MSG_DONTWAIT)
        assert [data for data, _ in receiver.drain()] == [b"gathered", b"flagged"]
        with pytest.raises(OSError) as caught:
            sender.owner.sendto(sender.fd, b"out of band", to, socket.MSG_OOB)
        assert caught.value.errno == errno.EOPNOTSUPP


def test_the_whole_receive_buffer_when_privileged(pair: tuple[End, End]) -> None:
    _, receiver = pair
    assert receiver.owner is not None
    with ends(End(socket.AF_INET, "127.0.0.1", False)) as (plain,):
        beyond_limit = 64 << 20
        plain.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, beyond_limit)
        cut_down = plain.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        try:
            plain.socket.setsockopt(socket.SOL_SOCKET, 33, beyond_limit)  # SO_RCVBUFFORCE
            expected = 2 * beyond_limit
        except PermissionError:
            expected = cut_down
    receiver.owner.set_receive_buffer(receiver.fd, beyond_limit)
    assert receiver.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == expected


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_routers_may_cut_a_datagram_unless_it_is_to_measure_the_path(
    family: socket.AddressFamily, host: str
) -> None:
    """ip(7), IP_MTU_DISCOVER: 0 lets them, 3 is for probes. IPv6 routers never do; 1 is the usual setting."""
    discover = {socket.IPPROTO_IP: 10, socket.IPPROTO_IPV6: 23}

    def modes(end: End) -> list[int]:
        known = [socket.IPPROTO_IP] if family == socket.AF_INET else list(discover)
        return [end.socket.getsockopt(level, discover[level]) for level in known]

    usual = [0, 1][: 1 + (family == socket.AF_INET6)]
    end = End(family, host, hooked=True)
    with contextlib.closing(end):
        assert end.owner
        assert modes(end) == usual
        end.owner.allow_fragments(False)
        assert modes(end) == [3] * len(usual)
        end.owner.allow_fragments(True)
        assert modes(end) == usual


def test_what_was_gathered_before_may_be_cut(pair: tuple[End, End]) -> None:
    left, right = pair
    assert left.owner
    with left.turn():
        left.send(b"gathered", right.address("127.0.0.1"))
        left.owner.allow_fragments(False)
        assert right.receive()[0] == b"gathered"
        left.owner.allow_fragments(True)
