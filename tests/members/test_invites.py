import json
import stat
from pathlib import Path

import pytest

from toxvpn.errors import PeerRefusedError, UsageError
from toxvpn.members import invites
from toxvpn.members.invites import (
    LONGEST_S,
    MOST_OUTSTANDING,
    SHORTEST_S,
    InviteBook,
    InviteVerdict,
    decode,
    encode,
    load,
    save,
)

NOW = 1_800_000_000.0
SECRET, OTHER = b"fifteen secrets", b"another fifteen"
ALICE, BOB = bytes([0xA1]) * 31 + b"\1", bytes([0xB0]) * 31 + b"\1"


def book_with(*secrets: bytes) -> InviteBook:
    book = InviteBook()
    for secret in secrets:
        book.add(secret, 3600, NOW, "alice")
    return book


def verdict(book: InviteBook, secret: bytes, key: bytes, now: float = NOW) -> InviteVerdict:
    return book.redeem(secret, key, now)[0]


def test_the_first_key_has_it_and_may_ask_again() -> None:
    book = book_with(SECRET)
    for _ in range(3):
        assert verdict(book, SECRET, ALICE) is InviteVerdict.ACCEPTED
    assert verdict(book, SECRET, BOB) is InviteVerdict.USED
    assert verdict(decode(encode(book), []), SECRET, BOB) is InviteVerdict.USED
    assert verdict(decode(encode(book), []), SECRET, ALICE) is InviteVerdict.ACCEPTED


def test_a_wrong_secret_uses_nothing_up() -> None:
    book = book_with(SECRET, OTHER)
    assert verdict(book, b"x" * 15, BOB) is InviteVerdict.UNKNOWN
    assert verdict(book, SECRET, ALICE) is InviteVerdict.ACCEPTED
    assert verdict(book, OTHER, BOB) is InviteVerdict.ACCEPTED


def test_expiry_is_to_the_second_for_all() -> None:
    book = book_with(SECRET, OTHER)
    assert verdict(book, SECRET, ALICE, NOW + 3599) is InviteVerdict.ACCEPTED
    assert verdict(book, SECRET, ALICE, NOW + 3600) is InviteVerdict.EXPIRED
    assert verdict(book, OTHER, BOB, NOW + 3600) is InviteVerdict.EXPIRED


def test_what_expired_is_dropped_when_another_is_made() -> None:
    book = book_with(SECRET)
    book.add(OTHER, 60, NOW + 3600)
    assert verdict(book, SECRET, ALICE, NOW + 3601) is InviteVerdict.UNKNOWN
    assert len(list(book)) == 1


def test_revoking() -> None:
    book = book_with(SECRET, OTHER)
    handle = next(invite.handle for invite in book if invite.digest == invites.digest_of(SECRET))
    assert book.revoke(handle[:5].upper()).name == "alice"
    assert verdict(book, SECRET, ALICE) is InviteVerdict.UNKNOWN
    assert verdict(book, OTHER, ALICE) is InviteVerdict.ACCEPTED
    for wrong in (handle, "", "zz"):
        with pytest.raises(PeerRefusedError, match="no invite"):
            book.revoke(wrong)
    (used,) = book
    with pytest.raises(UsageError, match="peer remove A1A1A1A1A1A1A1A1"):
        book.revoke(used.handle)


def test_an_ambiguous_handle() -> None:
    book = InviteBook()
    for number in range(MOST_OUTSTANDING):
        book.add(number.to_bytes(15, "big"), 60, NOW)
    first = [invite.handle[0] for invite in book]
    twice = next(digit for digit in first if first.count(digit) > 1)
    with pytest.raises(UsageError, match="give more digits"):
        book.revoke(twice)


def test_forgetting_a_key_voids_what_it_used() -> None:
    book = book_with(SECRET, OTHER)
    verdict(book, SECRET, ALICE)
    book.forget_key(ALICE)
    assert verdict(book, SECRET, ALICE) is InviteVerdict.UNKNOWN
    assert verdict(book, OTHER, BOB) is InviteVerdict.ACCEPTED


def test_bounds() -> None:
    book = InviteBook()
    for lifetime_s in (SHORTEST_S - 1, LONGEST_S + 1, -1, float("nan")):
        with pytest.raises(UsageError, match="1 minute to 365 days"):
            book.add(SECRET, lifetime_s, NOW)
    for number in range(MOST_OUTSTANDING):
        book.add(number.to_bytes(15, "big"), 3600, NOW)
    with pytest.raises(UsageError, match="outstanding already"):
        book.add(SECRET, 3600, NOW)
    verdict(book, bytes(15), ALICE)
    book.add(SECRET, 3600, NOW)


# -- the file -------------------------------------------------------------------------------------


def test_the_file_is_private_and_does_not_tell_the_secret(tmp_path: Path) -> None:
    assert list(load(tmp_path)) == []
    book = book_with(SECRET, OTHER)
    verdict(book, SECRET, ALICE)
    save(tmp_path, book)
    path = tmp_path / "invites.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET not in path.read_bytes() and SECRET.hex().encode() not in path.read_bytes()
    assert list(load(tmp_path)) == list(book)
    assert "digest" not in repr(list(book))


GOOD = json.loads(encode(book_with(SECRET)))
ENTRY = GOOD["invites"][0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        json.dumps(GOOD | {"schema": 2}).encode(),
    ],
)
def test_a_damaged_record_lets_nobody_in_and_is_kept_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "invites.json").write_bytes(content)
    (tmp_path / "invites.json").chmod(0o600)
    assert list(load(tmp_path)) == []
    assert (tmp_path / "invites.json.bad").read_bytes() == content
    assert "damaged" in caplog.text


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY | {"digest": "00"},
        ENTRY | {"used_by": "00"},
        ENTRY | {"expires": "soon"},
        ENTRY | {"name": 5},
        {},
        None,
    ],
)
def test_a_damaged_invite_lets_nobody_in_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, entry: object
) -> None:
    (tmp_path / "invites.json").write_text(json.dumps(GOOD | {"invites": [entry, ENTRY]}))
    (tmp_path / "invites.json").chmod(0o600)
    assert verdict(load(tmp_path), SECRET, ALICE) is InviteVerdict.ACCEPTED
    assert "it is left out" in caplog.text


def test_what_its_user_may_reach_is_kept() -> None:
    book = InviteBook()
    book.add(SECRET, 3600, NOW, allow=("localhost:22", "icmp"))
    book.add(OTHER, 3600, NOW)
    allowed = {each.digest: each.allow for each in decode(encode(book), [])}
    assert allowed == {invites.digest_of(SECRET): ("localhost:22", "icmp"), invites.digest_of(OTHER): None}


def test_an_invite_of_a_version_without_allow_limits_nothing() -> None:
    document = json.loads(encode(book_with(SECRET)))
    del document["invites"][0]["allow"], document["invites"][0]["closed"]
    (found,) = decode(json.dumps(document).encode(), [])
    assert found.allow is None and not found.closed
    document["invites"][0]["allow"] = "everything"
    left_out: list[tuple[str, Exception]] = []
    assert list(decode(json.dumps(document).encode(), left_out)) == [] and left_out  # type: ignore[arg-type]
