"""Who loses datagrams when more comes in than can be worked off: by the C functions, and on real sockets."""

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from toxvpn._native.net import netio
from toxvpn.testing.fairshare import CONNECTED, FairShare
from toxvpn.testing.hooked import Hooked, set_time

FLOODER, OTHER, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"
MS = 1_000_000
FLOOD, FEW = 4000, 200
STRANGE = 0
ALL, NEARLY_ALL, HALF, QUARTER = 8, 7, 4, 2
ROOM_BYTES = 2_000_000


def test_who_competes_with_nobody_has_all_of_the_buffer() -> None:
    share = FairShare()
    assert share.eighths(FLOODER) == ALL
    share.spent(FLOODER, 2000)
    assert share.eighths(FLOODER) == ALL


def test_who_has_had_most_of_the_time_has_half_of_it() -> None:
    share = FairShare()
    share.spent(FLOODER, 2000)
    share.spent(OTHER, 1000)
    assert [share.eighths(each) for each in (FLOODER, OTHER, THIRD)] == [HALF, ALL, ALL]
    share.spent(OTHER, 2000)
    assert [share.eighths(each) for each in (FLOODER, OTHER, THIRD)] == [ALL, HALF, ALL]


def test_beside_those_who_want_hardly_anything_it_has_nearly_all() -> None:
    share = FairShare()
    share.spent(FLOODER, 2000)
    share.spent(OTHER, 60)
    share.spent(THIRD, 15, STRANGE)
    assert share.eighths(FLOODER) == NEARLY_ALL
    share.spent(THIRD, 15, STRANGE)
    assert share.eighths(FLOODER) == HALF


def test_what_was_long_ago_counts_little() -> None:
    share = FairShare()
    share.spent(FLOODER, 40 * MS)
    for _ in range(8):
        share.spent(OTHER, 10 * MS)
    assert share.eighths(OTHER) < ALL
    assert share.eighths(FLOODER) == ALL


def test_an_ipv4_address_is_the_same_on_a_socket_for_both_families() -> None:
    share = FairShare()
    share.spent("::ffff:127.0.0.2", 2000)
    share.spent(OTHER, 1000)
    assert share.eighths(FLOODER) == HALF


def test_a_network_of_ipv6_has_one_share() -> None:
    share = FairShare()
    for host in range(1, 100):
        share.spent(f"2001:db8:1::{host:x}", 10)
    share.spent("2001:db8:2::1", 100)
    assert share.eighths("2001:db8:1::ffff") == HALF
    assert share.eighths("2001:db8:2::1") == ALL


def test_strangers_have_one_share_whatever_their_addresses() -> None:
    share = FairShare()
    share.spent(OTHER, 500)
    for number in range(10):
        share.spent(f"10.0.0.{number + 1}", 10, STRANGE)
    assert share.eighths("10.1.1.1", STRANGE) == ALL, "who is connected goes before, and still has more"
    for number in range(10):
        share.spent(f"10.0.0.{number + 1}", 10, STRANGE)
    assert share.eighths("10.1.1.1", STRANGE) == QUARTER
    assert share.eighths(OTHER) == ALL
    assert share.eighths("10.0.0.1") == ALL, "as a peer it is somebody else"


def test_many_sources_take_the_place_of_those_that_matter_least() -> None:
    share = FairShare()
    share.spent(FLOODER, MS)
    share.spent(OTHER, MS // 2)
    for number in range(1000):
        share.spent(f"10.0.{number // 250}.{number % 250 + 1}", 1000)
    assert share.eighths(FLOODER) == HALF


class Receiver:
    """A hooked socket with room for 5000 small datagrams; each takes `COST_NS` to work off."""

    COST_NS = 1000

    def __init__(self) -> None:
        self.owner = Hooked()
        with self.owner:
            self.fd = self.owner.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.owner.set_receive_buffer(self.fd, ROOM_BYTES)
        bound = socket.socket(fileno=self.fd)
        bound.setblocking(False)
        bound.bind(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        bound.detach()
        self._senders: dict[str, socket.socket] = {}
        self._now_ns = 1
        self.handed_out: Counter[str] = Counter()

    def send(self, host: str) -> None:
        if host not in self._senders:
            self._senders[host] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._senders[host].bind((host, 0))
        self._senders[host].sendto(bytes([CONNECTED]) + host.encode(), ("127.0.0.1", self.port))

    def turn(self) -> bool:
        """Whether there is more."""
        with self.owner, contextlib.suppress(BlockingIOError):
            while True:
                data, _ = self.owner.recvfrom(self.fd)
                self.handed_out[data[1:].decode()] += 1
                self._now_ns += self.COST_NS
                set_time(self._now_ns)
        return self.owner.receive_pending()

    def close(self) -> None:
        for sender in self._senders.values():
            sender.close()
        self.owner.close(self.fd)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()
    set_time(None)


def flood(receiver: Receiver, *others: str) -> int:
    """How many datagrams were dropped for being too many of their source."""
    before = netio.counters()["unfair"]
    for number in range(FLOOD):
        receiver.send(FLOODER)
        if number % (FLOOD // FEW) == 0:
            for host in others:
                receiver.send(host)
    while receiver.turn():
        pass
    return netio.counters()["unfair"] - before


@pytest.mark.skipif(os.geteuid() != 0, reason="a buffer of that size takes root")
def test_beside_a_flood_the_others_lose_nothing(receiver: Receiver) -> None:
    dropped = flood(receiver, OTHER, THIRD)
    assert dropped > FLOOD / 8
    assert receiver.handed_out == {FLOODER: FLOOD - dropped, OTHER: FEW, THIRD: FEW}


@pytest.mark.skipif(os.geteuid() != 0, reason="a buffer of that size takes root")
def test_a_flood_beside_nobody_loses_nothing(receiver: Receiver) -> None:
    assert flood(receiver) == 0
    assert receiver.handed_out == {FLOODER: FLOOD}


def test_what_there_is_room_for_is_all_handed_out(receiver: Receiver) -> None:
    for _ in range(20):
        receiver.send(FLOODER)
        receiver.send(OTHER)
    assert not receiver.turn()
    assert receiver.handed_out == {FLOODER: 20, OTHER: 20}
