import resource

import pytest

from toxvpn.tcpforward.room import Room


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The soft limit of the process."""
    now = [256]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (now[0], 1 << 20))
    return now


def test_streams_may_have_their_share_of_the_limit() -> None:
    room = Room()
    assert room.free == 192
    assert all(room.take(2) for _ in range(96))
    assert not room.take(1)
    room.give(2)
    assert not room.take(3)
    assert room.take(2)


def test_a_limit_that_changes_counts_at_once(limit: list[int]) -> None:
    room = Room()
    assert room.take(100)
    limit[0] = 128
    assert room.free == -4 and not room.take(1)
    limit[0] = 1024
    assert room.free == 668 and room.take(1)


def test_one_peer_leaves_room_for_the_next() -> None:
    room = Room()
    for peers in range(1, 5):
        held = 0
        while room.has_share(held):
            assert room.take(2)
            held += 2
        assert held > 10, f"peer {peers} finds something left"
