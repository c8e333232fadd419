"""The limit on what the kernel queues, on simulated links: their rate, other senders, how late we wake up."""

import itertools
from collections import deque

import pytest

from toxvpn.testing.native_units import SendRoom

MS = 1_000_000
CEILING = 4 << 20
START = 256 << 10
DATAGRAM = 2304  # as the kernel counts one of 1400 bytes
LEAST = 4608
WIRE_BITS = 1450 * 8
RATES = pytest.mark.parametrize("mbit_s", [2, 5, 20, 100, 500])


class Link:
    """A link with one queue for all senders, from which datagrams leave one by one.

    We have always something to send, and are there again `wake_ms` after the kernel has said that there is
    room. Others keep so many datagrams of theirs in the queue.
    """

    def __init__(self, mbit_s: float, *, wake_ms: float = 0.3, others: int = 0, peers: int = 0) -> None:
        self.rooms = [SendRoom(CEILING) for _ in range(1 + peers)]
        self.room = self.rooms[0]
        self.mbit_s = mbit_s
        self.wake_ns = int(wake_ms * MS)
        self.now_ns = MS
        self.queue: deque[int] = deque([-1] * others)
        self.standing = [0] * len(self.rooms)
        self.wakes_ns: list[int | None] = [self.now_ns] * len(self.rooms)
        self.left: dict[int, int] = {}
        self.idle_ns = 0

    def serve(self, who: int) -> None:
        """Do what sendbatch.c does when there may be room."""
        room = self.rooms[who]
        while True:
            room.before(self.standing[who], self.now_ns)
            if self.standing[who] >= room.limit:
                room.refused(self.standing[who], self.now_ns)
                return
            datagrams = max(1, room.piece // DATAGRAM)
            self.queue.extend([who] * datagrams)
            self.standing[who] += datagrams * DATAGRAM
            room.sent(datagrams * DATAGRAM, self.standing[who], self.now_ns)

    def run(self, ms: int) -> None:
        end_ns, step_ns = self.now_ns + ms * MS, int(WIRE_BITS / self.mbit_s * 1000)
        self.left.clear()
        self.idle_ns = 0
        while self.now_ns < end_ns:
            self.now_ns += step_ns
            if not self.queue:
                self.idle_ns += step_ns
            else:
                who = self.queue.popleft()
                self.left[who] = self.left.get(who, 0) + 1
                if who < 0:
                    self.queue.append(who)
                else:
                    self.standing[who] -= DATAGRAM
                    if self.standing[who] < self.rooms[who].limit / 2 and self.wakes_ns[who] is None:
                        self.wakes_ns[who] = self.now_ns + self.wake_ns
            for who, wakes_ns in enumerate(self.wakes_ns):
                if wakes_ns is not None and wakes_ns <= self.now_ns:
                    self.wakes_ns[who] = None
                    self.serve(who)

    @property
    def delay_ms(self) -> float:
        """The time that the link needs for what is in the queue."""
        return len(self.queue) * WIRE_BITS / self.mbit_s / 1000

    def delays_ms(self, ms: int) -> list[float]:
        delays = []
        for _ in range(ms // 5):
            self.run(5)
            delays.append(self.delay_ms)
        return sorted(delays)

    @property
    def share(self) -> float:
        return self.left.get(0, 0) / sum(self.left.values())


@RATES
def test_some_milliseconds_stand_in_the_kernel_whatever_the_rate(mbit_s: int) -> None:
    link = Link(mbit_s)
    link.run(2000)
    delays = link.delays_ms(1000)
    assert delays[-1] < 14 + 6 * WIRE_BITS / mbit_s / 1000
    assert delays[len(delays) // 2] > 2


@pytest.mark.parametrize("wake_ms", [0.1, 1, 5, 10])
@RATES
def test_the_link_is_not_left_idle(mbit_s: int, wake_ms: float) -> None:
    """More must be queued where we are slow to wake up."""
    link = Link(mbit_s, wake_ms=wake_ms)
    link.run(1000)
    link.run(4000)
    assert link.idle_ns < 0.05 * 4000 * MS


def test_a_link_that_gets_slower_is_noticed_at_once() -> None:
    link = Link(100)
    link.run(1000)
    link.mbit_s = 5
    link.run(1000)
    assert link.delays_ms(1000)[-1] < 20


def test_it_is_noticed_also_by_who_has_never_filled_it() -> None:
    """Another sender's TCP flow keeps 100 kB in flight."""
    room = SendRoom(CEILING)
    assert room.limit == START
    now_ns, standing, bytes_per_ms = MS, 0, 20e6 / WIRE_BITS * DATAGRAM / 1000
    for _ in range(300):
        room.before(standing, now_ns)
        room.sent(DATAGRAM, standing + DATAGRAM, now_ns)
        standing = min(standing + DATAGRAM, 100_000)
        now_ns += int(DATAGRAM / bytes_per_ms * MS)
        standing = max(0, standing - DATAGRAM + 400)
        if standing > room.limit:
            break
    assert room.limit < 60_000


def test_a_link_that_gets_faster_is_noticed_too() -> None:
    link = Link(5)
    link.run(2000)
    link.mbit_s = 500
    link.run(300)
    link.run(500)
    assert link.idle_ns < 25 * MS


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("mbit_s", [5, 20, 100])
@pytest.mark.parametrize(("others", "share"), [(20, 0.3), (75, 0.33), (150, 0.2)])
def test_who_shares_a_queue_with_others_gets_a_part(
    others: int, share: float, mbit_s: int, late: bool
) -> None:
    """The order of arrival does not matter."""
    link = Link(mbit_s, others=0 if late else others)
    link.run(3000)
    if late:
        link.queue.extend([-1] * others)
    link.run(10_000)
    link.run(9000)
    assert share - 0.12 < link.share < 0.7
    link.queue = deque(who for who in link.queue if who >= 0)  # and is modest again once they have gone
    link.run(8000)
    assert link.delays_ms(1000)[-1] < 20


def test_several_of_our_kind_do_not_drive_each_other_on() -> None:
    link = Link(20, peers=1)
    link.run(10_000)
    link.run(9000)
    assert 0.2 < link.share < 0.8
    assert link.delays_ms(2000)[-1] < 150


def test_a_link_that_takes_everything_at_once_gets_large_pieces_again() -> None:
    link = Link(5)
    link.run(2000)
    room, now_ns, sent = link.room, link.now_ns, 0
    assert room.piece < 10_000
    while room.limit < START:
        room.before(0, now_ns)
        room.sent(room.piece, 0, now_ns)
        sent += room.piece
        now_ns += MS // 100
        assert sent < 4 << 20
    assert room.piece > 65_535


def test_what_a_slow_link_takes_after_a_rest_is_no_reason() -> None:
    """The kernel's queue is empty then; a burst that fits into it says nothing about the rate."""
    link = Link(5)
    link.run(2000)
    link.room.before(DATAGRAM, link.now_ns)
    link.room.sent(DATAGRAM, 2 * DATAGRAM, link.now_ns)
    limit = link.room.limit
    for _ in range(20):
        link.now_ns += 500 * MS
        for datagrams in itertools.count(1):
            link.room.before((datagrams - 1) * DATAGRAM, link.now_ns)
            link.room.sent(DATAGRAM, datagrams * DATAGRAM, link.now_ns)
            if (datagrams + 1) * DATAGRAM > limit:
                break
    assert link.room.limit <= limit


def test_it_stays_between_the_least_and_what_the_kernel_allows() -> None:
    small = SendRoom(100_000)
    assert small.limit == 100_000
    for ms in range(1, 100, 2):
        small.before(0, ms * MS)
        small.sent(1000, 1000, ms * MS)
        small.refused(100_000, ms * MS)
        assert LEAST <= small.limit <= 100_000
    for ms in range(100, 9000, 50):
        small.before(90_000, ms * MS)
        small.refused(90_000, ms * MS)
    assert small.limit == LEAST
