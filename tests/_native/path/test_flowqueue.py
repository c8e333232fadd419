"""Which flow is next, and which must slow down, on a clock that the tests step."""

import itertools
import math
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from toxvpn.testing.native_units import FlowQueue

MS = 1_000_000
TARGET, INTERVAL = 5 * MS, 100 * MS
PACKET = 1500
SMALL = 100

flows = st.integers(0, 5)
sizes = st.integers(1, 5000)
steps = st.lists(st.one_of(st.tuples(flows, sizes), st.integers(1, 3000)), max_size=200)


def drain(queue: FlowQueue, now_ns: int, piece: int = PACKET) -> list[int]:
    """Take out everything at that moment; return the numbers of the items, once per piece."""
    order = []
    left: dict[int, int] = {}
    while (found := queue.next(now_ns)) is not None:
        item, late = found
        assert not late
        order.append(item)
        left.setdefault(item, SIZES[item])
        size = min(piece, left[item])
        left[item] -= size
        queue.took(size)
    return order


SIZES: dict[int, int] = {}


def put(queue: FlowQueue, flow: int, item: int, size: int = PACKET, now_ns: int = 1) -> None:
    SIZES[item] = size
    queue.put(flow, item, size, now_ns)


@given(steps)
def test_flows_keep_their_order_and_nothing_is_lost(script: list[tuple[int, int] | int]) -> None:
    """For any items, taken in any pieces, of which any are dropped for being late."""
    queue = FlowQueue()
    waiting: dict[int, list[list[int]]] = {flow: [] for flow in range(6)}
    now_ns = 1
    for number, step in enumerate(script):
        now_ns += MS
        if isinstance(step, tuple):
            flow, size = step
            queue.put(flow, number * 8 + flow, size, now_ns)
            waiting[flow].append([number * 8 + flow, size])
        elif (found := queue.next(now_ns)) is None:
            assert not any(waiting.values())
        else:
            item, late = found
            expected = waiting[item % 8][0]
            assert item == expected[0]
            piece = min(step, expected[1])
            (queue.dropped if late else queue.took)(piece)
            expected[1] -= piece
            if expected[1] == 0:
                waiting[item % 8].pop(0)
        assert queue.held == sum(map(len, waiting.values()))


def test_flows_share_by_bytes_whatever_their_packets() -> None:
    queue = FlowQueue()
    for number in range(100):
        put(queue, 1, number, PACKET)
    for number in range(100, 1600):
        put(queue, 2, number, SMALL)
    order = drain(queue, 2)
    half = order[: order.index(99) + 1]
    shares = [sum(SIZES[item] for item in half if (item < 100) == big) for big in (True, False)]
    assert max(shares) - min(shares) <= 2 * PACKET


def test_a_small_packet_gets_between_the_pieces_of_a_large_one() -> None:
    queue = FlowQueue()
    put(queue, 1, 1, 64_000)
    for _ in range(3):
        assert queue.next(2) == (1, False)
        queue.took(PACKET)
    put(queue, 2, 2, SMALL)
    SIZES[1] = 64_000 - 3 * PACKET
    order = drain(queue, 2)
    assert order.index(2) <= 2
    assert order.count(1) == math.ceil(SIZES[1] / PACKET)


def test_a_flow_of_single_packets_stays_ahead_but_starves_nobody() -> None:
    """A flow is served as new while it sends less than its turn; with more it is one of many."""
    queue = FlowQueue()
    for number in range(50):
        put(queue, 1, number)
    order = []
    for number in range(100, 400):
        put(queue, 2, number, PACKET)
        found = queue.next(2)
        assert found is not None
        order.append(found[0])
        queue.took(PACKET)
    assert sum(item < 100 for item in order) == 50


def test_the_flow_that_holds_most_gives_way() -> None:
    queue = FlowQueue()
    for number, (flow, held) in enumerate([(1, 10), (2, 30), (3, 25), (2, 5)]):
        queue.put(flow, number, PACKET, 1, held=held)
    assert queue.held == 70
    assert [queue.shed() for _ in range(5)] == [1, 2, 0, 3, None]
    assert queue.held == 0
    assert queue.next(2) is None


def test_what_is_taken_out_leaves_the_rest_in_order() -> None:
    queue = FlowQueue()
    for number in (1, 2, 3, 2, 4, 2):
        put(queue, 1, number)
    assert queue.remove(2)
    assert not queue.remove(2)
    put(queue, 1, 5)
    assert drain(queue, 2) == [1, 3, 4, 5]
    assert queue.held == 0


# -- CoDel


@dataclass
class Codel:
    """A second implementation of RFC 8289's control law, for one flow of packets of one size."""

    queue: list[int] = field(default_factory=list)
    first_above: int = 0
    drop_next: int = 0
    count: int = 0
    last_count: int = 0
    dropping: bool = False

    def dequeue(self, now: int) -> bool | None:
        """Whether the next packet is to be dropped; None when there is none."""
        if not self.queue:
            return None
        entered = self.queue.pop(0)
        ok_to_drop = False
        if now - entered < TARGET or not self.queue:
            self.first_above = 0
        elif self.first_above == 0:
            self.first_above = now + INTERVAL
        else:
            ok_to_drop = now >= self.first_above
        drop = False
        if self.dropping:
            if not ok_to_drop:
                self.dropping = False
            elif now >= self.drop_next:
                drop = True
                self.count += 1
                self.drop_next += int(INTERVAL / math.sqrt(self.count))
        elif ok_to_drop:
            drop = self.dropping = True
            delta = self.count - self.last_count
            self.count = delta if delta > 1 and now - self.drop_next < 16 * INTERVAL else 1
            self.drop_next = now + int(INTERVAL / math.sqrt(self.count))
            self.last_count = self.count
        if not self.queue:
            self.dropping, self.first_above = False, 0
        return drop


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 40)), max_size=300))
def test_the_delay_is_controlled_as_the_rfc_says(script: list[tuple[int, int, int]]) -> None:
    queue, reference = FlowQueue(), Codel()
    now_ns = 1
    for arrivals, departures, passed_ms in script:
        now_ns += passed_ms * MS
        for _ in range(arrivals):
            queue.put(7, 0, PACKET, now_ns)
            reference.queue.append(now_ns)
        for _ in range(departures):
            found = queue.next(now_ns)
            expected = reference.dequeue(now_ns)
            assert (None if found is None else found[1]) == expected
            if found is not None:
                (queue.dropped if found[1] else queue.took)(PACKET)


def test_a_burst_is_left_alone_and_a_standing_queue_is_not() -> None:
    def late_ones(standing: int) -> list[int]:
        """Put and take a packet each millisecond, with so many before; return when one is late."""
        queue = FlowQueue()
        for _ in range(standing):
            queue.put(1, 0, PACKET, MS)
        late_ms = []
        for ms in range(1, 1000):
            queue.put(1, 0, PACKET, ms * MS)
            found = queue.next(ms * MS)
            assert found is not None
            if found[1]:
                late_ms.append(ms)
                queue.dropped(PACKET)
                if queue.next(ms * MS) is None:
                    continue
            queue.took(PACKET)
        return late_ms

    assert late_ones(3) == []
    late_ms = late_ones(100)
    assert 100 < late_ms[0] < 120
    gaps = [later - earlier for earlier, later in itertools.pairwise(late_ms)]
    assert len(gaps) > 10 and gaps[0] > 2 * gaps[-1]
