from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.tcpforward.udp.flows import DNS_IDLE_S, UDP_IDLE_S, FlowTable, Traffic, idle_s
from toxvpn.wire.answers import FlowEnds

HERE, THERE = IPv4Address("100.64.0.2"), IPv4Address("10.0.0.5")


def flow(number: int) -> FlowEnds:
    return FlowEnds(HERE, number, THERE, 53)


def test_a_flow_that_is_used_stays() -> None:
    table: FlowTable[FlowEnds, str] = FlowTable(10)
    table.add(flow(1), "friend", "value", 30, 0)
    assert table.use(flow(1), 29) == "value"
    assert table.expire(58) == []
    assert table.expire(59) == ["value"]
    assert table.use(flow(1), 59) is None


def test_an_exchange_with_a_name_server_is_short() -> None:
    assert idle_s(53) == DNS_IDLE_S < UDP_IDLE_S == idle_s(443)


def test_the_longest_idle_flow_makes_room() -> None:
    table: FlowTable[FlowEnds, int] = FlowTable(2)
    assert table.add(flow(1), "friend", 1, 30, 0) is None
    assert table.add(flow(2), "friend", 2, 30, 1) is None
    table.use(flow(1), 2)
    assert table.add(flow(3), "friend", 3, 30, 3) == 2
    assert table.use(flow(1), 4) == 1


def test_a_flow_that_is_done_makes_room_before_one_that_may_go_on() -> None:
    table: FlowTable[FlowEnds, int] = FlowTable(2)
    table.add(flow(1), "friend", 1, UDP_IDLE_S, 0)
    table.add(flow(2), "friend", 2, UDP_IDLE_S, 1)
    table.use(flow(2), 2, DNS_IDLE_S)
    assert table.add(flow(3), "friend", 3, UDP_IDLE_S, 3) == 2


@pytest.mark.parametrize(
    ("there", "back", "idle_s"),
    [
        (1, 0, UDP_IDLE_S),
        (1, 1, DNS_IDLE_S),
        (2, 2, DNS_IDLE_S),
        (0, 1, UDP_IDLE_S),
        (3, 1, UDP_IDLE_S),
        (1, 3, UDP_IDLE_S),
    ],
)
def test_a_question_with_its_answer_is_soon_done(there: int, back: int, idle_s: float) -> None:
    assert Traffic(there, back).idle_s == idle_s


def test_a_friend_takes_no_room_of_another() -> None:
    table: FlowTable[FlowEnds, int] = FlowTable(1)
    table.add(flow(1), "one", 1, 30, 0)
    assert table.add(flow(2), "other", 2, 30, 0) is None
    assert table.remove_all("one") == [1]
    assert table.remove_all("one") == []
    assert list(table.values()) == [2]


@given(st.lists(st.tuples(st.sampled_from(["add", "use", "remove", "expire", "leave"]), st.integers(0, 9))))
def test_the_bound_holds(steps: list[tuple[str, int]]) -> None:
    table: FlowTable[FlowEnds, int] = FlowTable(3)
    alive: set[int] = set()
    for now, (step, number) in enumerate(steps):
        owner = number % 2
        if step == "add" and table.use(flow(number), now) is None:
            gone = table.add(flow(number), owner, number, 5, now)
            alive = (alive | {number}) - {gone}
        elif step == "use":
            assert (table.use(flow(number), now) is not None) == (number in alive)
        elif step == "remove":
            assert (table.remove(flow(number)) is not None) == (number in alive)
            alive.discard(number)
        elif step == "expire":
            alive -= set(table.expire(now))
        elif step == "leave":
            alive -= set(table.remove_all(owner))
        assert set(table.values()) == alive
        assert len(table) == table.count(0) + table.count(1) == len(alive)
        assert max(table.count(0), table.count(1)) <= 3
