"""What may stand in the kernel, against links that are simulated: a rate, and how late we look."""

import pytest

from toxvpn._native.queues import SendRoom

MS = 1_000_000
CEILING = 4 << 20
START = 256 << 10
DATAGRAM = 2304  # as the kernel counts one of 1400 bytes
RATES = pytest.mark.parametrize("mbit_s", [2, 5, 20, 100, 1000])


class Link:
    """Always something to send; `wake_ms` after the kernel is half empty we are there again."""

    def __init__(self, mbit_s: float, wake_ms: float = 0.3) -> None:
        self.room = SendRoom(CEILING)
        self.set_rate(mbit_s)
        self.wake_ns = int(wake_ms * MS)
        self.now_ns = MS
        self.standing = 0.0
        self.idle_ns = 0

    def set_rate(self, mbit_s: float) -> None:
        self.bytes_per_ns = mbit_s * 1e6 / 8 / 1e9 * DATAGRAM / 1450

    def cycle(self) -> None:
        """Fills the kernel, looks, waits until there is room."""
        while self.standing < self.room.limit:
            piece = max(DATAGRAM, self.room.piece)
            self.standing += piece
            self.room.sent(piece, self.now_ns)
        self.room.look(int(self.standing), self.now_ns)
        wait_ns = max(0, (self.standing - self.room.limit / 2) / self.bytes_per_ns) + self.wake_ns
        left = self.standing - wait_ns * self.bytes_per_ns
        if left < 0:
            self.idle_ns += int(-left / self.bytes_per_ns)
        self.now_ns += int(wait_ns)
        self.standing = max(0.0, left)
        self.room.look(int(self.standing), self.now_ns)

    def run(self, ms: int) -> None:
        end_ns = self.now_ns + ms * MS
        while self.now_ns < end_ns:
            self.cycle()

    @property
    def delay_ms(self) -> float:
        return (self.room.limit + max(DATAGRAM, self.room.piece)) / self.bytes_per_ns / MS


@RATES
def test_some_milliseconds_stand_in_the_kernel_whatever_the_rate(mbit_s: int) -> None:
    link = Link(mbit_s)
    link.run(2000)
    largest_ms = 12 + 3 * DATAGRAM / link.bytes_per_ns / MS
    assert 4 < link.delay_ms < largest_ms


@pytest.mark.parametrize("wake_ms", [0.1, 1, 5])
@RATES
def test_the_link_is_not_left_idle(mbit_s: int, wake_ms: float) -> None:
    """Where we are slow to wake, more has to stand."""
    link = Link(mbit_s, wake_ms)
    link.run(1000)
    link.idle_ns = 0
    began_ns = link.now_ns
    link.run(4000)
    assert link.idle_ns < 0.05 * (link.now_ns - began_ns)


def test_a_link_that_gets_slower_is_noticed_at_once() -> None:
    link = Link(100)
    link.run(1000)
    link.set_rate(5)
    link.run(1000)
    assert link.delay_ms < 20


def test_a_link_that_gets_faster_is_noticed_too() -> None:
    link = Link(5)
    link.run(2000)
    link.set_rate(1000)
    link.run(500)
    assert link.delay_ms > 4


def test_a_link_that_takes_everything_at_once_gets_large_pieces_again() -> None:
    link = Link(5)
    link.run(2000)
    room, now_ns, sent = link.room, link.now_ns, 0
    assert room.piece < 10_000
    while room.limit < START:
        room.sent(room.piece, now_ns)
        sent += room.piece
        now_ns += MS // 100
        assert sent < 4 << 20
    assert room.piece > 65_535


def test_what_a_slow_link_takes_after_a_rest_is_no_reason() -> None:
    """The kernel's queue is empty then; a burst that fits into it says nothing about the rate."""
    link = Link(5)
    link.run(2000)
    limit = link.room.limit
    for _ in range(20):
        link.now_ns += 500 * MS
        for _ in range(3):
            link.room.sent(limit // 3, link.now_ns)
    assert link.room.limit == limit


def test_it_stays_between_the_least_and_what_the_kernel_allows() -> None:
    small = SendRoom(100_000)
    assert small.limit == 100_000
    for ms in range(1, 50):
        small.look(0, ms * MS)
    assert small.limit == 100_000
    for ms in range(50, 5000, 50):
        small.look(90_000, ms * MS)
    assert small.limit == 4608
