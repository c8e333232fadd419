"""Gathered datagrams that the kernel refuses: each is sent or dropped by itself, and counted."""

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Iterator

import pytest
from pyroute2 import IPRoute

from toxvpn._native.net import netio
from toxvpn.testing import sockaddr
from toxvpn.testing.hooked import Hooked, fail_sends, set_time
from toxvpn.testing.netns import have_namespaces, in_new_netns

needs_namespaces = pytest.mark.skipif(not have_namespaces(), reason="needs root and network namespaces")


class Sender:
    """A hooked socket, and a plain one that it sends to; datagrams are numbered."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET, host: str = "127.0.0.1") -> None:
        self.owner = Hooked()
        with self.owner:
            self.fd = self.owner.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.receiver = socket.socket(family, socket.SOCK_DGRAM)
        self.receiver.bind((host, 0))
        self.receiver.setblocking(False)
        self.to = sockaddr.pack(host, self.receiver.getsockname()[1])
        self._counters = netio.counters()
        self._next = 0

    def gather(self, count: int, size: int = 100) -> None:
        for _ in range(count):
            self.owner.sendto(self.fd, self._next.to_bytes(4, "big") + bytes(size - 4), self.to)
            self._next += 1

    def received(self) -> list[int]:
        """The numbers of the datagrams that have arrived since the last time."""
        numbers = []
        with contextlib.suppress(BlockingIOError):
            while True:
                numbers.append(int.from_bytes(self.receiver.recv(65536)[:4], "big"))
        return numbers

    def counted(self) -> dict[str, int]:
        """The counters that have moved since the last time."""
        before, self._counters = self._counters, netio.counters()
        return {name: value - before[name] for name, value in self._counters.items() if value != before[name]}

    def close(self) -> None:
        self.owner.close(self.fd)
        self.receiver.close()


@contextlib.contextmanager
def making(family: socket.AddressFamily = socket.AF_INET, host: str = "127.0.0.1") -> Iterator[Sender]:
    sender = Sender(family, host)
    try:
        yield sender
    finally:
        fail_sends([])
        set_time(None)
        sender.close()


@pytest.fixture
def sender() -> Iterator[Sender]:
    with making() as sender:
        yield sender


def test_no_room_keeps_the_batch_for_the_next_flush(sender: Sender) -> None:
    fail_sends([errno.EAGAIN])
    with sender.owner:
        sender.gather(10)
    assert sender.received() == []
    assert sender.owner.congested()
    assert sender.counted() == {"send_calls": 1, "deferred": 10}
    with sender.owner:
        sender.gather(10, size=50)
        assert sender.received() == []  # waits behind the others
    assert sender.received() == list(range(20))
    assert not sender.owner.congested()
    assert sender.counted() == {"send_calls": 2, "deferred": 10, "segmented": 2, "sent": 20}


def test_what_routers_may_not_cut_does_not_wait_for_room(sender: Sender) -> None:
    """Others may be sent in batches again later."""
    assert sender.owner.allow_fragments(False)
    fail_sends([errno.EAGAIN])
    sender.owner.sendto(sender.fd, bytes(100), sender.to)
    assert not sender.owner.congested()
    assert not sender.owner.allow_fragments(True)
    sender.owner.flush()
    assert sender.received() == []
    assert sender.owner.allow_fragments(False), "there is room again"
    sender.gather(1)
    assert sender.owner.allow_fragments(True)
    assert sender.received() == [0]


def test_what_waits_for_room_may_be_cut_when_there_is_some(sender: Sender) -> None:
    let_all_cut = 0
    fail_sends([errno.EAGAIN] * 2)
    sender.gather(1)
    assert not sender.owner.allow_fragments(False)
    with socket.socket(fileno=os.dup(sender.fd)) as same:
        assert same.getsockopt(socket.IPPROTO_IP, 10) == let_all_cut  # IP_MTU_DISCOVER
    sender.owner.flush()
    assert sender.received() == [0]


def test_the_wait_is_bounded_and_a_refused_datagram_is_not_sent(sender: Sender) -> None:
    fail_sends([errno.EAGAIN] * 20)
    with sender.owner:
        for _ in range(8):
            sender.gather(10, size=100)
            sender.gather(1, size=50)  # ends the batch
        for _ in range(2):
            with pytest.raises(BlockingIOError):
                sender.gather(1, size=50)
    accepted = 8 * 11
    assert sender.counted() == {"send_calls": 4, "deferred": accepted, "refused": 2}
    fail_sends([])
    sender.owner.flush()
    assert sender.received() == list(range(accepted))


@pytest.mark.parametrize("error", [errno.ENOBUFS, errno.ENOMEM])
def test_no_memory_for_a_batch_sends_its_datagrams_singly(sender: Sender, error: int) -> None:
    fail_sends([error, 0, 0, error])
    with sender.owner:
        sender.gather(5)
    assert sender.received() == [0, 1]
    assert sender.owner.congested()
    sender.owner.flush()
    assert sender.received() == [2, 3, 4]
    with sender.owner:
        sender.gather(5)
    assert sender.counted() == {
        "send_calls": 8, "segmented": 1, "segmented_refused": 1, "deferred": 3, "sent": 10,
    }  # fmt: skip


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.ENOPROTOOPT])
def test_a_kernel_without_segmentation_gets_single_datagrams_from_then_on(sender: Sender, error: int) -> None:
    fail_sends([error])
    with sender.owner:
        sender.gather(3)
    with sender.owner:
        sender.gather(3)
    assert sender.received() == list(range(6))
    assert sender.counted() == {"send_calls": 7, "segmented_refused": 1, "sent": 6}


def test_a_path_refusing_a_size_is_tried_again_after_a_minute(sender: Sender) -> None:
    def burst(size: int) -> dict[str, int]:
        with sender.owner:
            sender.gather(4, size)
        return sender.counted()

    set_time(1000 * 10**9)
    fail_sends([errno.EMSGSIZE])
    singly = {"send_calls": 4, "sent": 4}
    batched = {"send_calls": 1, "segmented": 1, "sent": 4}
    assert burst(1400) == {"send_calls": 5, "segmented_refused": 1, "sent": 4}
    assert [burst(1400), burst(1500), burst(1399)] == [singly, singly, batched]
    set_time(1061 * 10**9)
    assert burst(1400) == batched
    assert sender.received() == list(range(20))


def test_a_route_without_segmentation_is_the_only_one(sender: Sender) -> None:
    """EIO: the device has no checksum offload, or leads into IPsec; other destinations are not affected."""
    set_time(1000 * 10**9)
    fail_sends([errno.EIO])
    elsewhere = sockaddr.pack("127.0.0.2", 9)
    with sender.owner:
        sender.gather(3)
    with sender.owner:
        sender.gather(3, size=50)
    assert sender.counted() == {"send_calls": 7, "segmented_refused": 1, "sent": 6}
    with sender.owner:
        for _ in range(3):
            sender.owner.sendto(sender.fd, b"datagram", elsewhere)
    assert sender.counted() == {"send_calls": 1, "segmented": 1, "sent": 3}
    set_time(1061 * 10**9)
    with sender.owner:
        sender.gather(3)
    assert sender.counted() == {"send_calls": 1, "segmented": 1, "sent": 3}
    assert sender.received() == list(range(9))


def test_a_batch_begun_singly_ends_singly_though_its_path_takes_batches_again(sender: Sender) -> None:
    set_time(1000 * 10**9)
    fail_sends([errno.EMSGSIZE])
    with sender.owner:
        sender.gather(3)
    set_time(1030 * 10**9)
    fail_sends([0, errno.EAGAIN])
    with sender.owner:
        sender.gather(3)
    assert sender.received() == [0, 1, 2, 3]
    set_time(1061 * 10**9)
    sender.owner.flush()
    assert sender.received() == [4, 5]


def test_without_segmentation_all_else_stays(sender: Sender) -> None:
    """Datagrams are gathered, bounded and kept in order as with segmentation."""
    plain = Hooked(segmentation=False)
    with plain:
        fd = plain.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        for number in range(3):
            plain.sendto(fd, number.to_bytes(4, "big"), sender.to)
        assert sender.received() == []
        fail_sends([0, errno.EAGAIN])
    assert plain.congested()
    plain.flush()
    plain.close(fd)
    assert sender.received() == [0, 1, 2]
    assert sender.counted() == {"send_calls": 4, "deferred": 2, "sent": 3}


def test_an_interrupted_call_is_repeated(sender: Sender) -> None:
    fail_sends([errno.EINTR, errno.EINTR])
    with sender.owner:
        sender.gather(2)
    assert sender.received() == [0, 1]


@pytest.mark.parametrize(
    ("error", "counter"),
    [
        (errno.ENETUNREACH, "dropped_unreachable"),
        (errno.EHOSTUNREACH, "dropped_unreachable"),
        (errno.EPERM, "dropped_denied"),
        (errno.EACCES, "dropped_denied"),
        (errno.ECONNREFUSED, "dropped_other"),
    ],
)
def test_refused_for_good_is_counted_and_blocks_nothing(sender: Sender, error: int, counter: str) -> None:
    fail_sends([error, error])
    with sender.owner:
        sender.gather(3)
        sender.gather(1, size=200)
        sender.gather(2, size=300)
    assert sender.counted() == {"send_calls": 3, counter: 4, "segmented": 1, "sent": 2}
    assert sender.received() == [4, 5]
    assert not sender.owner.congested()


def test_too_long_is_refused_at_once_as_by_a_plain_socket(sender: Sender) -> None:
    with sender.owner:
        sender.gather(2)
        with pytest.raises(OSError) as caught:
            sender.gather(1, size=65_508)
        assert caught.value.errno == errno.EMSGSIZE
    assert sender.received() == [0, 1]


def test_the_kernels_refusal_of_segments_without_checksums(sender: Sender) -> None:
    """A real EINVAL: such a socket cannot use UDP_SEGMENT."""
    so_no_check = 11
    with socket.socket(fileno=sender.fd) as same:
        same.setsockopt(socket.SOL_SOCKET, so_no_check, 1)
        same.detach()
    with sender.owner:
        sender.gather(3)
    assert sender.counted() == {"send_calls": 4, "segmented_refused": 1, "sent": 3}
    assert sender.received() == [0, 1, 2]


# -- real networks that refuse ----------------------------------------------------------------------


def loopback_up(mtu: int = 65536) -> None:
    with IPRoute() as network:
        network.link("set", index=1, state="up", mtu=mtu)


@needs_namespaces
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_segments_beyond_the_mtu_arrive_as_fragments(family: socket.AddressFamily, host: str) -> None:
    def run() -> tuple[list[int], list[dict[str, int]]]:
        loopback_up(mtu=1280)
        counted = []
        with making(family, host) as sender:
            for size in (1400, 1400, 1000):
                with sender.owner:
                    sender.gather(5, size)
                counted.append(sender.counted())
            return sender.received(), counted

    numbers, counted = in_new_netns(run)
    assert numbers == list(range(15))
    assert counted == [
        {"send_calls": 6, "segmented_refused": 1, "sent": 5},
        {"send_calls": 5, "sent": 5},
        {"send_calls": 1, "segmented": 1, "sent": 5},
    ]


@needs_namespaces
@pytest.mark.parametrize(
    ("route", "counter"),
    [
        (None, "dropped_unreachable"),
        ("unreachable", "dropped_unreachable"),
        ("prohibit", "dropped_denied"),
        ("blackhole", "dropped_other"),
    ],
)
def test_destinations_without_a_way_do_not_hold_up_the_others(route: str | None, counter: str) -> None:
    def run() -> tuple[list[int], dict[str, int]]:
        loopback_up()
        if route:
            with IPRoute() as network:
                network.route("add", dst="198.51.100.0/24", type=route)
        with making() as sender:
            with sender.owner:
                sender.gather(2)
                for _ in range(3):
                    assert sender.owner.sendto(sender.fd, bytes(100), sockaddr.pack("198.51.100.1", 9)) == 100
                sender.gather(2)
            return sender.received(), sender.counted()

    numbers, counted = in_new_netns(run)
    assert numbers == [0, 1, 2, 3]
    assert counted[counter] == 3
    assert counted["sent"] == 4


@pytest.mark.real
@needs_namespaces
def test_a_slow_link_defers_and_loses_nothing() -> None:
    total = 2000

    def run() -> tuple[list[int], dict[str, int]]:
        loopback_up()
        with IPRoute() as network:
            network.tc("add", "tbf", index=1, handle=0x10000, rate="100mbit", latency="10s", burst=70_000)
        with making() as sender:
            with socket.socket(fileno=sender.fd) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
                same.detach()
            so_rcvbufforce = 33
            sender.receiver.setsockopt(socket.SOL_SOCKET, so_rcvbufforce, 16 << 20)  # all of it at once
            numbers: list[int] = []
            deadline = time.monotonic() + 20
            with sender.owner:
                while sender._next < total and time.monotonic() < deadline:
                    try:
                        sender.gather(1, size=1000)
                    except BlockingIOError:
                        wait_writable(sender, numbers)
            while len(numbers) < total and time.monotonic() < deadline:
                wait_writable(sender, numbers)
            return numbers, sender.counted()

    def wait_writable(sender: Sender, numbers: list[int]) -> None:
        wanted = [sender.fd] if sender.owner.congested() else []
        select.select([sender.receiver], wanted, [], 1)
        numbers += sender.received()
        sender.owner.flush()

    numbers, counted = in_new_netns(run)
    assert numbers == list(range(total))
    assert counted["deferred"] > 0
    assert counted["refused"] > 0
    assert counted["sent"] == total
