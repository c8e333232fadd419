import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.members import friends
from toxvpn.members.friends import (
    MOST_PASSING,
    UNSEEN_S,
    Authority,
    Friend,
    FriendBook,
    Grant,
    decode,
    encode,
    load,
    save,
)

NOW = 1_800_000_000.0
ALICE, BOB, CAROL = (bytes([number]) * 31 + b"\1" for number in (0xA1, 0xB0, 0xCA))
SECRET = b"correct horse"


@pytest.fixture(autouse=True)
def cheap_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(friends, "SCRYPT_N", 2)


def again(book: FriendBook) -> FriendBook:
    """The book as the next run finds it."""
    return decode(encode(book), [])


@pytest.mark.parametrize(
    ("by", "today", "stays"),
    [
        (Grant.SECRET, Authority(secret=SECRET), True),
        (Grant.SECRET, Authority(secret=b"another"), False),
        (Grant.SECRET, Authority(), False),
        (Grant.SECRET, Authority(open=True), False),
        (Grant.SECRET, Authority(secret=SECRET, whitelist=frozenset({ALICE})), True),
        (Grant.SECRET, Authority(secret=SECRET, whitelist=frozenset({BOB})), False),
        (Grant.OPEN, Authority(open=True), True),
        (Grant.OPEN, Authority(secret=SECRET), False),
        (Grant.WHITELIST, Authority(whitelist=frozenset({ALICE})), True),
        (Grant.WHITELIST, Authority(whitelist=frozenset({BOB})), False),
        (Grant.WHITELIST, Authority(secret=SECRET, whitelist=frozenset({ALICE})), False),
        (Grant.PEER, Authority(peers=frozenset({ALICE})), True),
        (Grant.PEER, Authority(), False),
        (Grant.INVITE, Authority(), True),
        (Grant.ACCEPT, Authority(), True),
    ],
)
def test_the_next_start_keeps_whom_the_configuration_still_covers(
    by: Grant, today: Authority, stays: bool
) -> None:
    book = FriendBook()
    book.authorise(ALICE, by, NOW, secret=SECRET if by is Grant.SECRET else None)
    book = again(book)
    assert (ALICE not in book.settle(today, NOW + 60)) is stays
    assert (ALICE in book) is stays


def test_configured_keys_are_entered_at_the_start() -> None:
    book = FriendBook()
    book.settle(Authority(whitelist=frozenset({ALICE}), peers=frozenset({BOB})), NOW)
    assert (book.friends[ALICE].by, book.friends[BOB].by) == (Grant.WHITELIST, Grant.PEER)


def test_a_whitelisted_key_still_has_to_prove_the_secret() -> None:
    book = FriendBook()
    book.settle(Authority(whitelist=frozenset({ALICE}), secret=SECRET), NOW)
    assert ALICE not in book


def test_a_weaker_grant_does_not_replace_a_stronger_one() -> None:
    book = FriendBook()
    for by in (Grant.SECRET, Grant.WHITELIST, Grant.ACCEPT):
        book.authorise(ALICE, by, NOW, secret=SECRET)
        assert book.friends[ALICE].by is by
    for by in (Grant.PEER, Grant.OPEN):
        book.authorise(ALICE, by, NOW + 1, secret=SECRET)
        assert book.friends[ALICE] == Friend(Grant.ACCEPT, NOW, NOW + 1)


def test_the_record_tells_nobody_the_secret() -> None:
    book, other = FriendBook(), FriendBook()
    for each in (book, other):
        each.authorise(ALICE, Grant.SECRET, NOW, secret=SECRET)
    assert SECRET not in encode(book)
    assert SECRET.hex().encode() not in encode(book)
    assert repr(SECRET) not in repr(book)
    assert book.friends[ALICE].secret_digest != other.friends[ALICE].secret_digest  # salted


def test_the_digest_is_as_expensive_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert (friends.SCRYPT_N, friends.SCRYPT_R, friends.SCRYPT_P) == (16384, 8, 1)
    assert len(FriendBook().digest(SECRET)) == 64


def test_passing_friends_not_seen_for_long_are_dropped() -> None:
    book = FriendBook()
    for key in (ALICE, BOB):
        book.authorise(key, Grant.SECRET, NOW, secret=SECRET)
    book.authorise(CAROL, Grant.ACCEPT, NOW)
    book.seen(BOB, NOW + UNSEEN_S)
    later = NOW + UNSEEN_S + 1
    assert book.settle(Authority(secret=SECRET), later) == {ALICE}
    assert set(book) == {BOB, CAROL}


def test_past_the_bound_the_longest_unseen_makes_room_unless_it_is_online() -> None:
    book = FriendBook()
    book.authorise(CAROL, Grant.INVITE, NOW - 100)
    keys = [number.to_bytes(32, "big") for number in range(MOST_PASSING)]
    for age, key in enumerate(keys):
        assert book.authorise(key, Grant.SECRET, NOW + age, secret=SECRET) == []
    book.seen(keys[0], NOW + 5000)
    assert book.authorise(ALICE, Grant.SECRET, NOW, secret=SECRET, online=[keys[1]]) == [keys[2]]
    assert keys[1] in book and keys[2] not in book and CAROL in book and ALICE in book


def test_when_everybody_is_online_nobody_goes_and_nobody_comes() -> None:
    book = FriendBook()
    keys = [number.to_bytes(32, "big") for number in range(MOST_PASSING)]
    for key in keys:
        assert book.authorise(key, Grant.OPEN, NOW, online=keys) == []
    assert book.authorise(ALICE, Grant.OPEN, NOW, online=keys) is None
    assert set(book) == set(keys)
    assert book.authorise(keys[0], Grant.OPEN, NOW, online=keys) == []  # who is here may ask again
    assert book.authorise(ALICE, Grant.INVITE, NOW, online=keys) == []


def test_who_is_blocked_is_covered_by_nothing() -> None:
    book = FriendBook()
    for key, by in ((ALICE, Grant.ACCEPT), (BOB, Grant.PEER), (CAROL, Grant.OPEN)):
        book.authorise(key, by, NOW)
    keys = frozenset({ALICE, BOB, CAROL})
    book.settle(Authority(whitelist=keys, peers=keys, open=True, blocked=keys), NOW)
    assert set(book) == set()


def test_forgetting() -> None:
    book = FriendBook()
    book.authorise(ALICE, Grant.ACCEPT, NOW)
    assert book.forget(ALICE) and not book.forget(ALICE)
    assert ALICE not in book
    book.seen(ALICE, NOW)
    assert ALICE not in book


# -- the file -------------------------------------------------------------------------------------


def test_the_record_survives_on_disk_private(tmp_path: Path) -> None:
    book = load(tmp_path)
    assert set(book) == set()
    book.authorise(ALICE, Grant.SECRET, NOW, secret=SECRET)
    book.authorise(BOB, Grant.PEER, NOW)
    save(tmp_path, book)
    assert load(tmp_path) == book
    assert stat.S_IMODE((tmp_path / "friends.json").stat().st_mode) == 0o600
    assert json.loads((tmp_path / "friends.json").read_text())["friends"][BOB.hex().upper()] == {
        "by": "peer",
        "since": 1_800_000_000,
        "last_online": 1_800_000_000,
    }


GOOD = json.loads(encode(FriendBook(salt=bytes(16), friends={ALICE: Friend(Grant.OPEN, 1.0, 2.0)})))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps(GOOD | {"schema": 2}).encode(),
        json.dumps(GOOD | {"salt": "zz"}).encode(),
        json.dumps(GOOD | {"salt": "00"}).encode(),
        json.dumps(GOOD | {"friends": []}).encode(),
    ],
)
def test_a_damaged_record_authorises_nobody_and_is_kept_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "friends.json").write_bytes(content)
    (tmp_path / "friends.json").chmod(0o600)
    assert set(load(tmp_path)) == set()
    assert (tmp_path / "friends.json.bad").read_bytes() == content
    assert not (tmp_path / "friends.json").exists()
    assert "damaged" in caplog.text


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("A1", {"by": "open", "since": 1, "last_online": 2}),
        ("3" * 62 + "F3", {"by": "open", "since": 1, "last_online": 2}),
        (BOB.hex(), {"by": "king", "since": 1, "last_online": 2}),
        (BOB.hex(), None),
    ],
)
def test_a_damaged_entry_authorises_nobody_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, entry: object
) -> None:
    content = json.dumps(GOOD | {"friends": {key: entry} | GOOD["friends"]})
    (tmp_path / "friends.json").write_text(content)
    (tmp_path / "friends.json").chmod(0o600)
    assert set(load(tmp_path)) == {ALICE}
    assert f"the entry of {key[:16]!r} is damaged" in caplog.text
    assert (tmp_path / "friends.json.bad").read_text() == content


values = st.recursive(
    st.none() | st.integers() | st.text() | st.floats(), lambda inner: st.lists(inner, max_size=2)
)
friend_entries: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text(alphabet="0aG", max_size=64), values
)


@given(st.dictionaries(st.sampled_from(["schema", "salt", "friends"]), values | friend_entries))
def test_no_record_is_read_wrong(change: dict[str, Any]) -> None:
    data = json.dumps(GOOD | change).encode()
    try:
        book = decode(data, [])
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    assert all(len(key) == 32 for key in book)
    assert decode(encode(book), []).friends.keys() == book.friends.keys()
