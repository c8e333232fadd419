import resource

import pytest

from toxvpn.tcpforward.budget import DescriptorBudget


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The soft limit of the process."""
    now = [256]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (now[0], 1 << 20))
    return now


def test_streams_may_have_their_share_of_the_limit() -> None:
    budget = DescriptorBudget()
    assert budget.free == 192
    assert all(budget.take(2) for _ in range(96))
    assert not budget.take(1)
    budget.give(2)
    assert not budget.take(3)
    assert budget.take(2)


def test_what_comes_with_others_is_left_to_nobody_else() -> None:
    budget = DescriptorBudget()
    budget.take(budget.free)
    budget.add(1)
    assert budget.free == -1
    budget.give(2)
    assert budget.take(1) and not budget.take(1)


def test_a_limit_that_changes_counts_at_once(limit: list[int]) -> None:
    budget = DescriptorBudget()
    assert budget.take(100)
    limit[0] = 128
    assert budget.free == -4 and not budget.take(1)
    limit[0] = 1024
    assert budget.free == 668 and budget.take(1)


def test_who_can_make_room_is_asked_before_none_is_left() -> None:
    budget = DescriptorBudget()
    asked = []
    budget.when_scarce.append(lambda: asked.append(budget.free))
    assert budget.take(192 - 24) and not asked
    assert budget.take(2) and asked == [24]
    budget.give(4)
    assert budget.take(2) and asked == [24]


def test_one_peer_leaves_room_for_the_next() -> None:
    budget = DescriptorBudget()
    for peers in range(1, 5):
        held = 0
        while budget.allows_more(held):
            assert budget.take(2)
            held += 2
        assert held > 10, f"peer {peers} finds something left"
