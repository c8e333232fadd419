"""How many datagrams of strangers the kernel lets in: by the C functions, and on real sockets."""

import contextlib
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from toxvpn._native.net import netio
from toxvpn.testing.fairshare import CONNECTED
from toxvpn.testing.hooked import Hooked, set_time
from toxvpn.testing.sieve import Sieve

MS = 1_000_000
PERIOD_NS = 50 * MS
STRANGE = 0
ROOM_BYTES = 2_000_000
UDP_SEGMENT = 103


class Periods:
    """A sieve, period by period."""

    def __init__(self, halvings: int = 0) -> None:
        self._now_ns = self._used_ns = 1000 * MS
        self.sieve = Sieve(halvings, self._now_ns, self._used_ns)

    def next(self, strangers_ms: int, used_ms: int = 50, *, overloaded: bool = True) -> int:
        if overloaded:
            self.sieve.overloaded()
        self.sieve.spent(strangers_ms * MS)
        self._now_ns += PERIOD_NS
        self._used_ns += used_ms * MS
        self.sieve.next(self._now_ns, self._used_ns)
        return self.sieve.halvings


def test_strangers_have_a_quarter_of_the_time() -> None:
    assert Periods().next(12) == 0
    assert Periods().next(13) == 1
    assert Periods().next(40) == 2


def test_on_a_busy_machine_it_is_a_quarter_of_what_this_process_gets() -> None:
    assert Periods().next(8, used_ms=9) == 2


def test_who_is_connected_and_too_fast_is_no_reason() -> None:
    assert Periods().next(0) == 0


def test_it_opens_step_by_step_when_there_is_time_for_twice_as_many() -> None:
    periods = Periods(halvings=4)
    assert periods.next(7, overloaded=False) == 4
    assert periods.next(6, overloaded=False) == 3
    assert [periods.next(0, overloaded=False) for _ in range(4)] == [2, 1, 0, 0]


def test_it_opens_beside_a_flow_that_is_too_fast_for_long() -> None:
    """Or new peers, and all of the DHT, would be kept out for as long as that flow lasts."""
    periods = Periods(halvings=12)
    assert [periods.next(0) for _ in range(12)] == [*range(11, -1, -1)]
    assert Periods(halvings=2).next(7) == 2, "twice as many would be too many"
    assert Periods(halvings=2).next(2, used_ms=9) == 2


def test_a_period_that_another_thread_ends_changes_nothing() -> None:
    assert Periods(halvings=2).next(0, used_ms=-1) == 2


def test_it_keeps_out_no_more_than_all_but_one_in_4096() -> None:
    periods = Periods()
    for _ in range(20):
        periods.next(50)
    assert periods.sieve.halvings == 12


def test_a_period_is_50_ms_and_there_is_none_at_rest() -> None:
    sieve = Sieve()
    assert not sieve.due(1000 * MS)
    sieve.overloaded()
    assert sieve.due(1000 * MS)
    sieve.next(1000 * MS, 0)
    sieve.overloaded()
    assert not sieve.due(1049 * MS)
    assert sieve.due(1050 * MS)
    assert Sieve(halvings=1).due(1000 * MS)


@pytest.fixture(params=["127.0.0.1", "::ffff:127.0.0.1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender, and a receiver of either kind that libtoxcore makes."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((request.param, 0))
        receiver.setblocking(False)
        sender.connect(("127.0.0.1", receiver.getsockname()[1]))
        yield sender, receiver


def test_the_kernel_lets_data_of_connections_in_and_few_others(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    sender, receiver = pair

    def arrived() -> Counter[int]:
        for number in range(100):
            sender.send(bytes([CONNECTED if number % 2 else STRANGE]) * 20)
        kinds: Counter[int] = Counter()
        with contextlib.suppress(BlockingIOError):
            while True:
                kinds[receiver.recv(100)[0]] += 1
        return kinds

    assert Sieve(halvings=1).attach(receiver)
    assert arrived()[CONNECTED] == 50
    assert Sieve(halvings=12).attach(receiver)
    few = arrived()
    assert few[CONNECTED] == 50
    assert few[STRANGE] < 10
    assert Sieve().attach(receiver)
    assert arrived() == {CONNECTED: 50, STRANGE: 50}


class Flooded:
    """A hooked socket; each datagram of a stranger takes 100 µs to work off, others nothing."""

    COST_NS = 100_000

    def __init__(self) -> None:
        self.owner = Hooked()
        with self.owner:
            self.fd = self.owner.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.owner.set_receive_buffer(self.fd, ROOM_BYTES)
        bound = socket.socket(fileno=self.fd)
        bound.setblocking(False)
        bound.bind(("127.0.0.1", 0))
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender.connect(bound.getsockname())
        bound.detach()
        self._now_ns = 1000 * MS
        set_time(self._now_ns)

    def send(self, strangers: int, connected: int = 0) -> Counter[int]:
        """What is handed out of that many, by kind."""
        for kind, count in ((STRANGE, strangers), (CONNECTED, connected)):
            for number in range(count):
                self._sender.send(bytes([kind]) + bytes(number % 2))  # of two sizes: none are joined
        return self.take()

    def open_door(self) -> None:
        """A socket more, for one peer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            door.bind(("127.0.0.1", 0))
            door.setblocking(False)
            assert self.owner.open_door(os.dup(door.fileno()), "127.0.0.1", 9)

    def send_joined(self, bundles: int, strangers: int) -> Counter[int]:
        """As `send`; the kernel joins that many behind one that looks like data of a connection."""
        for _ in range(bundles):
            data = bytes([CONNECTED] * 8 + [STRANGE] * 8 * strangers)
            self._sender.sendmsg([data], [(socket.IPPROTO_UDP, UDP_SEGMENT, (8).to_bytes(2, sys.byteorder))])
        return self.take()

    def take(self) -> Counter[int]:
        kinds: Counter[int] = Counter()
        more = True
        while more:
            with self.owner, contextlib.suppress(BlockingIOError):
                while True:
                    kind = self.owner.recvfrom(self.fd)[0][0]
                    kinds[kind] += 1
                    self.rest(self.COST_NS if kind == STRANGE else 0)
            more = self.owner.receive_pending()
        return kinds

    def rest(self, passed_ns: int) -> None:
        self._now_ns += passed_ns
        set_time(self._now_ns)

    def close(self) -> None:
        self._sender.close()
        self.owner.close(self.fd)


@pytest.fixture
def flooded() -> Iterator[Flooded]:
    made = Flooded()
    yield made
    made.close()
    set_time(None)


@pytest.mark.skipif(os.geteuid() != 0, reason="a buffer of that size takes root")
def test_a_flood_of_strangers_is_kept_out_until_it_is_over(flooded: Flooded) -> None:
    assert flooded.send(100, 100) == {STRANGE: 100, CONNECTED: 100}
    flooded.send(3000)
    before = netio.counters()["unfair"]
    during = flooded.send(1000, 100)
    assert during[CONNECTED] == 100
    assert during[STRANGE] < 600
    for _ in range(20):
        flooded.rest(PERIOD_NS)
        flooded.take()
    assert flooded.send(100, 100) == {STRANGE: 100, CONNECTED: 100}
    assert netio.counters()["unfair"] - before == 1000 - during[STRANGE]


@pytest.mark.skipif(os.geteuid() != 0, reason="a buffer of that size takes root")
def test_strangers_are_kept_out_also_behind_what_looks_like_data_of_a_connection(flooded: Flooded) -> None:
    """The kernel joins what one sender sends, and its filter sees the beginning of that alone."""
    flooded.send_joined(2000, 7)
    during = flooded.send_joined(1000, 7)
    assert during[CONNECTED] == 1000
    assert during[STRANGE] < 1000 * 7 // 2
    for _ in range(20):
        flooded.rest(PERIOD_NS)
        flooded.take()
    assert flooded.send_joined(20, 7) == {STRANGE: 140, CONNECTED: 20}


@pytest.mark.skipif(os.geteuid() != 0, reason="a buffer of that size takes root")
def test_a_flood_is_noticed_while_there_is_another_socket_for_a_peer(flooded: Flooded) -> None:
    flooded.open_door()
    flooded.send(3000)
    assert flooded.send(1000, 100)[STRANGE] < 600
