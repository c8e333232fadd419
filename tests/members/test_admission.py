"""Admission on a Tox network in memory: who is let in, and who is not."""

from collections.abc import AsyncIterator

import pytest

from toxvpn._native.results import Connection
from toxvpn.errors import ToxvpnError
from toxvpn.members.admission import (
    JUDGED_AT_ONCE,
    JUDGED_PER_S,
    LOGGED_REFUSALS_PER_MINUTE,
    NO_ROOM,
    TOO_MANY,
    Admission,
)
from toxvpn.members.friends import MOST_PASSING, UNSEEN_S, Authority, FriendBook, Grant
from toxvpn.members.invites import InviteVerdict
from toxvpn.members.pending import MOST_ONCE
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox.events import FriendRequest
from toxvpn.tox.node import Node
from toxvpn.wire.secret import friend_request_message

SECRET = b"correct horse battery staple"
SHORT = b"horse"
VERDICTS = {b"invite": InviteVerdict.ACCEPTED}


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


class Guarded:
    """A server with an admission; `wall` is a stepped clock."""

    def __init__(self, network: Network, authority: Authority, book: FriendBook | None = None) -> None:
        self.node = network.node()
        self.book = book or FriendBook()
        self.saves = 0
        self.wall = 1000.0
        self.admission = Admission(self.node, authority, self.book, self._changed, lambda: self.wall)
        self.admission.start()

    def _changed(self) -> None:
        self.saves += 1


async def asked(server: Guarded, client: Node, message: bytes) -> bool:
    """Whether the client is in after the server has judged its request."""
    before = sum(server.admission.refused.values())
    server.node.forget_request(client.tox.public_key)  # as it would be some seconds later
    peer = client.reach(server.node.tox.address, message)
    await until(lambda: peer.online or sum(server.admission.refused.values()) > before)
    return peer.online


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        (friend_request_message(SECRET), True),
        (friend_request_message(b"wrong horse"), False),
        (friend_request_message(None), False),
        (SECRET, False),
    ],
)
async def test_secret(network: Network, message: bytes, verdict: bool) -> None:
    server = Guarded(network, Authority(secret=SECRET))
    assert await asked(server, network.node(), message) is verdict


async def test_nobody_without_any_authority(network: Network) -> None:
    server = Guarded(network, Authority())
    assert not await asked(server, network.node(), b"hi")
    assert server.admission.refused == {"unknown key": 1}


async def test_open_lets_everybody_in(network: Network) -> None:
    server = Guarded(network, Authority(open=True))
    assert await asked(server, network.node(), friend_request_message(None))


async def test_whitelist(network: Network) -> None:
    friend, stranger = network.node(), network.node()
    server = Guarded(network, Authority(whitelist=frozenset({friend.tox.public_key})))
    assert await asked(server, friend, b"hi")
    assert not await asked(server, stranger, b"hi")
    assert server.admission.refused == {"not on the whitelist": 1}


async def test_whitelist_and_secret_must_both_be_satisfied(network: Network) -> None:
    friend, stranger = network.node(), network.node()
    authority = Authority(whitelist=frozenset({friend.tox.public_key}), secret=SECRET)
    server = Guarded(network, authority)
    assert not await asked(server, friend, friend_request_message(b"wrong"))
    assert not await asked(server, stranger, friend_request_message(SECRET))
    assert await asked(server, friend, friend_request_message(SECRET))


async def test_whom_todays_configuration_does_not_cover_is_removed(network: Network) -> None:
    proved, other = network.node(), network.node()
    book = FriendBook()
    book.authorise(proved.tox.public_key, Grant.SECRET, 900, secret=SECRET)
    book.authorise(other.tox.public_key, Grant.SECRET, 900, secret=b"of yesterday")
    server = Guarded(network, Authority(secret=SECRET), book)
    assert {peer.public_key for peer in server.node} == {proved.tox.public_key}


async def test_friends_of_the_savedata_without_a_record_are_removed(network: Network) -> None:
    node = network.node(friends=[bytes([7]) * 32])
    Admission(node, Authority(secret=SECRET), FriendBook(), lambda: None, lambda: 0).start()
    assert list(node) == []


async def test_a_person_may_admit_and_dismiss(network: Network) -> None:
    client = network.node()
    server = Guarded(network, Authority(peers=frozenset({bytes([7]) * 32})))
    assert not await asked(server, client, b"hi")
    (pending,) = server.admission.pending
    assert (pending.public_key, pending.reason) == (client.tox.public_key, "unknown key")
    server.admission.admit(client.tox.public_key, Grant.ACCEPT)
    assert await asked(server, client, b"hi")
    assert list(server.admission.pending) == []
    server.admission.dismiss(client.tox.public_key)
    assert client.tox.public_key not in server.book
    assert not await asked(server, client, b"hi")
    server.admission.dismiss(bytes([9]) * 32)  # nobody knows it


async def test_an_invite_is_judged_elsewhere(network: Network) -> None:
    verdicts = {b"good": InviteVerdict.ACCEPTED, b"old": InviteVerdict.EXPIRED}
    node, book = network.node(), FriendBook()
    admission = Admission(
        node,
        Authority(secret=SECRET),
        book,
        lambda: None,
        lambda: 0.0,
        lambda _, message: verdicts.get(message),
    )
    admission.start()
    guest, late = network.node(), network.node()
    guest.reach(node.tox.address, b"good")
    late.reach(node.tox.address, b"old")
    await until(lambda: guest.tox.public_key in book and admission.refused)
    assert book.friends[guest.tox.public_key].by is Grant.INVITE
    assert admission.refused == {"the invite has expired": 1}


async def test_a_flood_does_not_fill_the_log(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    server = Guarded(network, Authority(secret=SECRET))
    for _ in range(LOGGED_REFUSALS_PER_MINUTE + 5):
        await asked(server, network.node(), b"no\0")
    assert server.admission.refused.total() == LOGGED_REFUSALS_PER_MINUTE + 5
    assert sum("ignored" in line for line in caplog.messages) <= 2 * LOGGED_REFUSALS_PER_MINUTE
    assert "no\0" not in caplog.text and SECRET.decode() not in caplog.text


class Flooded(Guarded):
    """Requests come straight from the node, at times of the test's choice."""

    def __init__(self, network: Network, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(network, authority)
        self.now = 5000.0
        monkeypatch.setattr(self.node, "now", lambda: self.now)

    def receive(self, number: int, message: bytes = b"guess\0", *, last_byte: int = 0) -> None:
        key = number.to_bytes(31, "little") + bytes([last_byte])
        self.admission._on_event(FriendRequest(key, message))

    @property
    def judged(self) -> int:
        return self.admission.refused["the secret is wrong"]


async def test_a_short_secret_is_guessed_at_a_bounded_rate(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Flooded(network, Authority(secret=SHORT), monkeypatch)
    for number in range(1000):
        server.receive(number)
    assert server.judged == JUDGED_AT_ONCE
    assert server.admission.refused[TOO_MANY] == 1000 - JUDGED_AT_ONCE
    server.receive(7777, friend_request_message(SHORT))  # it comes in the crowd ...
    assert len(server.book.friends) == 0
    server.now += 1
    for number in range(1000):
        server.receive(number)
    assert server.judged == JUDGED_AT_ONCE + JUDGED_PER_S
    server.now += 45
    server.receive(7777, friend_request_message(SHORT))  # ... and again
    assert len(server.book.friends) == 1


async def test_right_secrets_and_invites_are_heard_in_a_flood(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Flooded(network, Authority(secret=SECRET), monkeypatch)
    monkeypatch.setattr(server.admission, "_redeem", lambda _, message: VERDICTS.get(message))
    guests = range(10_000, 10_060)
    for guest in guests:  # a minute of 200 wrong ones a second
        for number in range(200):
            if number == 117:
                server.receive(guest, b"invite" if guest % 2 else friend_request_message(SECRET))
            server.receive(number)
            server.now += 1 / 200
    assert {int.from_bytes(key, "little") for key in server.book.friends} == set(guests)


async def test_an_invite_is_heard_whatever_the_secret(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Flooded(network, Authority(secret=SHORT), monkeypatch)
    monkeypatch.setattr(server.admission, "_redeem", lambda _, message: VERDICTS.get(message))
    for number in range(1000):
        server.receive(number)
    server.receive(7777, b"invite")
    assert len(server.book.friends) == 1


async def test_a_flood_keeps_out_nobody_who_is_known_by_key(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, listed = (number.to_bytes(32, "little") for number in (1, 2))
    server = Flooded(network, Authority(secret=SHORT, peers=frozenset({peer})), monkeypatch)
    server.admission.enter(Authority(secret=SHORT, peers=frozenset({peer}), whitelist=frozenset({listed})))
    for number in range(10, 1000):
        server.receive(number)
    for number in (1, 2):
        server.receive(number, friend_request_message(SHORT))
    assert {friend.public_key for friend in server.node} >= {listed, peer}
    assert server.admission.refused["not on the whitelist"] > 0


async def test_passing_friends_are_bounded_also_when_all_are_online(network: Network) -> None:
    server = Guarded(network, Authority(open=True))
    keys = [number.to_bytes(31, "little") + b"\1" for number in range(MOST_PASSING)]
    for key in keys:
        server.admission.admit(key, Grant.OPEN)
        peer = server.node.peer(key)
        assert peer is not None
        peer.connection = Connection.UDP
    late = network.node()
    assert not await asked(server, late, b"hi")
    assert server.admission.refused == {NO_ROOM: 1}
    assert set(server.book.friends) == {peer.public_key for peer in server.node} == set(keys)
    away = server.node.peer(keys[7])
    assert away is not None
    away.connection = Connection.NONE
    assert await asked(server, late, b"hi")
    assert keys[7] not in server.book.friends and len(list(server.node)) == MOST_PASSING


async def test_who_is_blocked_is_refused_whatever_it_has(network: Network) -> None:
    client = network.node()
    key = frozenset({client.tox.public_key})
    for authority in (
        Authority(secret=SECRET, blocked=key),
        Authority(open=True, blocked=key),
        Authority(peers=key, blocked=key),
        Authority(whitelist=key, blocked=key),
    ):
        server = Guarded(network, authority)
        assert not await asked(server, client, friend_request_message(SECRET))
        assert server.admission.refused == {"blocked": 1} and list(server.admission.pending) == []


async def test_a_full_disk_lets_nobody_in_and_breaks_nothing(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    def redeem(_: bytes, message: bytes) -> InviteVerdict:
        raise ToxvpnError("cannot write invites.json: No space left on device")

    node, book = network.node(), FriendBook()
    admission = Admission(node, Authority(), book, lambda: None, lambda: 0.0, redeem)
    admission.start()
    network.node().reach(node.tox.address, b"invite")
    await until(lambda: admission.refused)
    assert book.friends == {} and "No space left" in caplog.text and "Traceback" not in caplog.text


MANY = 3 * MOST_ONCE


async def test_strangers_fill_no_memory(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Flooded(network, Authority(open=True), monkeypatch)
    for number in range(MANY):
        server.now += 0.1
        server.receive(number)
    assert len(server.book.friends) == len(list(server.node)) == MOST_PASSING
    closed = Flooded(network, Authority(secret=SECRET), monkeypatch)
    for number in range(MANY):
        closed.now += 0.1
        closed.receive(number)
    assert len(list(closed.admission.pending)) == MOST_ONCE
    assert len(closed.admission.refused) == 1


async def test_a_key_that_no_friend_can_have(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Flooded(network, Authority(open=True), monkeypatch)
    server.receive(1, last_byte=0x80)
    assert server.admission.refused == {"not a valid public key": 1}
    assert server.book.friends == {} and "Traceback" not in caplog.text


async def test_who_is_online_for_weeks_stays_at_a_reload(network: Network) -> None:
    server, client = Guarded(network, Authority(open=True)), network.node()
    assert await asked(server, client, b"hi")
    await until(lambda: all(peer.online for peer in server.node))
    server.wall += UNSEEN_S + 1
    server.admission.settle()
    assert client.tox.public_key in server.book
