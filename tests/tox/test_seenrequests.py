"""A stranger is heard again, on the clock and through the node."""

import pytest

from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox.events import Event, FriendRequest
from toxvpn.tox.seenrequests import AGAIN_S, MOST_SEEN, SeenRequests

KEY = bytes(32)


def test_each_once_when_its_time_has_come() -> None:
    seen = SeenRequests()
    seen.note(KEY, 100)
    seen.note(b"later", 101)
    assert seen.due(99.9 + AGAIN_S) == []
    assert seen.due(100 + AGAIN_S) == [KEY]
    assert seen.due(1000) == [b"later"]
    assert seen.due(2000) == []


def test_who_is_heard_again_meanwhile_waits_anew() -> None:
    seen = SeenRequests()
    seen.note(KEY, 100)
    seen.note(KEY, 110)
    assert seen.due(100 + AGAIN_S) == []
    assert seen.due(110 + AGAIN_S) == [KEY]


def test_it_does_not_grow() -> None:
    seen = SeenRequests()
    for number in range(1000):
        seen.note(number.to_bytes(32), 0)
    assert len(seen.due(AGAIN_S)) == MOST_SEEN


async def test_the_node_hears_a_second_request() -> None:
    network = Network()
    server, client = network.node(), network.node()
    messages: list[bytes] = []

    def on_event(event: Event) -> None:
        if isinstance(event, FriendRequest):
            messages.append(event.message)

    server.subscribe(on_event)
    try:
        client.reach(server.tox.address, b"wrong")
        await until(lambda: messages)
        client.reach(server.tox.address, b"deaf")
        for node in (client, server, server):
            node.turns.turn()
        assert messages == [b"wrong"]
        server.forget_request(client.tox.public_key)
        assert list(server) == [] and server.tox.friend_list() == []
        client.reach(server.tox.address, b"right")
        await until(lambda: len(messages) > 1)
        assert messages == [b"wrong", b"right"]
    finally:
        network.close()


async def test_it_does_so_by_itself_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    server, client = network.node(), network.node()
    again: list[bytes] = []
    monkeypatch.setattr(server, "forget_request", again.append)
    late = server.now() + AGAIN_S
    try:
        client.reach(server.tox.address, b"hi")
        await until(lambda: server._seen_requests._due_s)
        monkeypatch.setattr(server.turns, "now", lambda: late + 1)
        server.turns.turn()
        assert again == [client.tox.public_key]
    finally:
        network.close()


async def test_a_friend_stays_one() -> None:
    network = Network()
    left, right = network.pair()
    try:
        left.forget_request(right.tox.public_key)
        assert left.peer(right.tox.public_key) is not None
        left.forget_request(b"no key of a friend's, and too long")
    finally:
        network.close()
