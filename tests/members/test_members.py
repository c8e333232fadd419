"""The record of who belongs to us, as the next run finds it."""

import itertools
from pathlib import Path

import pytest

from toxvpn.errors import PeerRefusedError, ToxvpnError, UsageError
from toxvpn.members import friends, invites, peers
from toxvpn.members.blocked import Blocked
from toxvpn.members.friends import FriendBook, Grant
from toxvpn.members.invites import InviteVerdict
from toxvpn.members.members import Member, Members
from toxvpn.members.peers import ALL, NETWORK, ConfiguredPeer
from toxvpn.wire.invite import Invite, request_message
from toxvpn.wire.toxid import ToxId

NOW = 1_800_000_000.0
US = ToxId(bytes(32), b"ours")
ALICE, BOB, CAROL = (bytes([number]) * 31 + b"\1" for number in (0xA1, 0xB0, 0xCA))


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def opened(directory: Path | None, wall: Clock | None = None) -> Members:
    """As a run finds it; its random bytes are 0, 1, 2 …"""
    numbers = itertools.count()
    book = FriendBook() if directory is None else friends.load(directory)
    return Members(directory, book, wall or Clock(), lambda size: next(numbers).to_bytes(size, "big"))


def member(found: Members, key: bytes) -> Member:
    return next(each for each in found if each.public_key == key)


def test_peers_are_kept_at_once(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.add(ConfiguredPeer(ALICE, b"spam", "alice"))
    kept = ConfiguredPeer(ALICE, b"spam", "alice", may=NETWORK)
    assert first.add(ConfiguredPeer(ALICE)) == kept
    assert opened(tmp_path).peers == {ALICE: kept}


def test_nothing_is_kept_without_a_directory() -> None:
    passing = opened(None)
    passing.add(ConfiguredPeer(ALICE))
    passing.invite(US, 3600)
    passing.remove(member(passing, ALICE))
    assert passing.peers == {}


def test_named_ones_come_first(tmp_path: Path) -> None:
    found = opened(tmp_path)
    for peer in (ConfiguredPeer(ALICE), ConfiguredPeer(BOB, name="zoe"), ConfiguredPeer(CAROL, name="carol")):
        found.add(peer)
    found.book.authorise(bytes(32), Grant.SECRET, NOW)
    assert [(each.short, each.grant) for each in found] == [
        ("carol", None),
        ("zoe", None),
        ("00000000", Grant.SECRET),
        ("A1A1A1A1", None),
    ]


def test_a_new_name_for_who_is_kept(tmp_path: Path) -> None:
    found = opened(tmp_path)
    found.add(ConfiguredPeer(ALICE, b"spam", "alice"))
    assert found.rename(member(found, ALICE), "liz") == ConfiguredPeer(ALICE, b"spam", "liz", may=NETWORK)
    found.add(ConfiguredPeer(BOB, name="bob"))
    with pytest.raises(UsageError, match="is the name of peer"):
        found.rename(member(found, BOB), "LIZ")
    assert opened(tmp_path).peers == found.peers


@pytest.mark.parametrize("grant", [Grant.INVITE, Grant.ACCEPT])
def test_a_name_for_whom_a_person_let_in(tmp_path: Path, grant: Grant) -> None:
    found = opened(tmp_path)
    found.book.authorise(ALICE, grant, NOW)
    found.rename(member(found, ALICE), "alice")
    assert opened(tmp_path).peers == {ALICE: ConfiguredPeer(ALICE, None, "alice", may=ALL)}


@pytest.mark.parametrize("grant", [Grant.SECRET, Grant.OPEN, Grant.WHITELIST, Grant.PEER])
def test_a_name_lets_nobody_in_for_longer(tmp_path: Path, grant: Grant) -> None:
    found = opened(tmp_path)
    found.book.authorise(ALICE, grant, NOW)
    with pytest.raises(UsageError, match="is not kept here; `toxvpn peer add KEY --name alice` keeps it"):
        found.rename(member(found, ALICE), "alice")
    assert found.peers == {}


def test_an_invite_lets_one_machine_in_under_its_name(tmp_path: Path) -> None:
    invite = opened(tmp_path).invite(US, 3600, "alice")
    assert invite == Invite(US, bytes(15), int(NOW) + 3600)
    found = opened(tmp_path)  # another run
    message = request_message(invite.secret)
    assert found.redeem(ALICE, message) is InviteVerdict.ACCEPTED
    assert found.redeem(ALICE, message) is InviteVerdict.ACCEPTED
    assert found.redeem(BOB, message) is InviteVerdict.USED
    again = opened(tmp_path)
    assert again.peers == {ALICE: ConfiguredPeer(ALICE, name="alice", may=ALL, closed=True)}
    assert again.redeem(BOB, message) is InviteVerdict.USED


def test_a_name_that_is_taken_by_then_is_left_out(tmp_path: Path) -> None:
    found = opened(tmp_path)
    invite = found.invite(US, 3600, "alice")
    found.add(ConfiguredPeer(BOB, name="Alice"))
    assert found.redeem(ALICE, request_message(invite.secret)) is InviteVerdict.ACCEPTED
    assert found.peers[ALICE].name is None


def test_the_clock_of_the_inviting_side_decides(tmp_path: Path) -> None:
    wall = Clock()
    found = opened(tmp_path, wall)
    invite = found.invite(US, 3600)
    wall.now += 3600
    assert found.redeem(ALICE, request_message(invite.secret)) is InviteVerdict.EXPIRED
    assert found.peers == {}


@pytest.mark.parametrize("message", [b"auto-toxvpn", b"s3cret\0", b""])
def test_other_requests_are_not_judged(tmp_path: Path, message: bytes) -> None:
    assert opened(tmp_path).redeem(ALICE, message) is None


def test_a_revoked_invite(tmp_path: Path) -> None:
    found = opened(tmp_path)
    invite = found.invite(US, 3600)
    found.revoke(next(iter(found.invites)).handle)
    assert opened(tmp_path).redeem(ALICE, request_message(invite.secret)) is InviteVerdict.UNKNOWN
    with pytest.raises(PeerRefusedError):
        found.revoke("00000000")


def test_an_unusable_name_makes_no_invite(tmp_path: Path) -> None:
    found = opened(tmp_path)
    with pytest.raises(UsageError, match="not usable"):
        found.invite(US, 3600, "two words")
    assert list(found.invites) == []


def test_removing_leaves_nothing_that_lets_it_in(tmp_path: Path) -> None:
    found = opened(tmp_path)
    invite = found.invite(US, 3600)
    message = request_message(invite.secret)
    found.redeem(ALICE, message)
    found.book.authorise(ALICE, Grant.INVITE, NOW)
    friends.save(tmp_path, found.book)
    found.add(ConfiguredPeer(BOB))
    found = opened(tmp_path)
    found.remove(member(found, ALICE))
    again = opened(tmp_path)
    assert set(again.peers) == {BOB}
    assert ALICE not in again.book
    assert again.redeem(ALICE, message) is InviteVerdict.UNKNOWN


@pytest.mark.parametrize("grant", [Grant.SECRET, Grant.OPEN])
def test_who_knows_the_secret_cannot_be_removed(tmp_path: Path, grant: Grant) -> None:
    found = opened(tmp_path)
    found.book.authorise(ALICE, grant, NOW)
    with pytest.raises(UsageError, match="`toxvpn peer block A1A1A1A1A1A1A1A1` shuts it out"):
        found.remove(member(found, ALICE))
    assert ALICE in found.book


def test_an_invite_of_ours_is_dropped_once_it_has_served(tmp_path: Path) -> None:
    found = opened(tmp_path)
    found.add(ConfiguredPeer(ALICE, b"spam", "alice", Invite(ToxId(ALICE, b"spam"), bytes(15), 2**31)))
    found.admitted(BOB)
    found.admitted(ALICE)
    assert opened(tmp_path).peers == {ALICE: ConfiguredPeer(ALICE, b"spam", "alice", may=NETWORK)}


def test_what_cannot_be_kept_has_no_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ToxvpnError("disk full")

    found = opened(tmp_path)
    monkeypatch.setattr(peers, "save", fail)
    with pytest.raises(ToxvpnError, match="disk full"):
        found.add(ConfiguredPeer(ALICE))
    assert found.peers == {}


def test_damaged_peers_do_not_keep_it_from_starting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "peers.json").write_text("{")
    assert opened(tmp_path).peers == {}
    assert "peers.json is damaged" in caplog.text


def test_on_a_full_disk_no_invite_is_made_or_used_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ToxvpnError("disk full")

    found = opened(tmp_path)
    invite = found.invite(US, 3600)
    message = request_message(invite.secret)
    for module in (invites, peers):
        with monkeypatch.context() as full:
            full.setattr(module, "save", fail)
            with pytest.raises(ToxvpnError, match="disk full"):
                found.redeem(ALICE, message)
            assert found.peers == {}
            if module is invites:
                assert [each.used_by for each in found.invites] == [None]
                with pytest.raises(ToxvpnError, match="disk full"):
                    found.invite(US, 3600)
                assert len(list(found.invites)) == 1
    assert found.redeem(ALICE, message) is InviteVerdict.ACCEPTED
    assert set(opened(tmp_path).peers) == {ALICE}


def test_on_a_full_disk_an_invite_is_taken_back_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ToxvpnError("disk full")

    found = opened(tmp_path)
    invite = found.invite(US, 3600)
    monkeypatch.setattr(invites, "save", fail)
    with pytest.raises(ToxvpnError, match="disk full"):
        found.revoke(next(iter(found.invites)).handle)
    assert found.redeem(ALICE, request_message(invite.secret)) is InviteVerdict.UNKNOWN


def test_who_is_blocked_is_kept_and_let_in_by_nothing(tmp_path: Path) -> None:
    found = opened(tmp_path)
    found.add(ConfiguredPeer(ALICE, b"spam", "alice"))
    found.book.authorise(ALICE, Grant.ACCEPT, NOW)
    found.block(member(found, ALICE))
    again = opened(tmp_path)
    assert again.blocked == {ALICE: Blocked(ALICE, NOW, "alice")}
    assert again.peers == {} and ALICE not in again.book
    assert again.unblock("Alice").public_key == ALICE
    assert opened(tmp_path).blocked == {}
