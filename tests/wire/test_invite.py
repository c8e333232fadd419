import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import UsageError
from toxvpn.wire.invite import (
    LATEST_EXPIRY,
    Invite,
    decode,
    encode,
    is_invite,
    parse_request,
    request_message,
)
from toxvpn.wire.secret import SecretVerdict, check_usable, friend_request_message, judge_friend_request
from toxvpn.wire.toxid import ToxId

INVITE = Invite(ToxId(bytes(range(32)), b"\1\2\3\4"), b"fifteen secrets", 1_800_000_000)
TEXT = encode(INVITE)

invites = st.builds(
    Invite,
    st.builds(ToxId, st.binary(min_size=31, max_size=31).map(lambda key: key + b"\x7f"), st.just(b"spam")),
    st.binary(min_size=15, max_size=15),
    st.integers(0, LATEST_EXPIRY),
)


def test_the_text_is_this_for_ever() -> None:
    """An invite of one version is redeemed by another: the format cannot drift."""
    assert TEXT == (
        "toxvpn-aeaacaqdaqcqmbyibefawdanbyhraeiscmkbkfqxdamrugy4dupb6aicamcg"
        "m2lgorswk3raonswg4tforzwwsosadf5talo"
    )


@given(invites)
def test_it_survives_the_way_there(invite: Invite) -> None:
    text = encode(invite)
    assert re.fullmatch(r"toxvpn-[a-z2-7]{96}", text)
    for as_pasted in (text, text.upper(), text.title(), f"  {text[:40]}\n {text[40:]}\r\n"):
        assert is_invite(as_pasted)
        assert decode(as_pasted) == invite


def test_it_names_a_key_that_can_be() -> None:
    with pytest.raises(UsageError, match="Tox ID in this invite is not valid"):
        decode(encode(Invite(ToxId(b"\xff" * 32, b"spam"), bytes(15), 1_800_000_000)))


def test_digits_that_look_like_letters_are_read_as_these() -> None:
    assert decode(TEXT.replace("o", "0").replace("l", "1").replace("t0xvpn", "toxvpn")) == INVITE


@given(st.integers(7, 102), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_one_wrong_letter_is_found(position: int, letter: str) -> None:
    wrong = TEXT[:position] + letter + TEXT[position + 1 :]
    if wrong == TEXT:
        return
    with pytest.raises(UsageError, match="checksum"):
        decode(wrong)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TEXT[:-1], "95 characters after 'toxvpn-' instead of 96; copy all"),
        (TEXT + "a", "97 characters"),
        ("toxvpn-", "0 characters"),
        (TEXT[:20] + "8" + TEXT[21:], "character 21 of this invite is '8'"),
        (TEXT[:20] + "é" + TEXT[21:], "character 21 of this invite is 'é'"),
        (TEXT[:20] + "-" + TEXT[21:], "character 21 of this invite is '-'"),
        ("", "not an invite: an invite starts with 'toxvpn-'"),
        ("hello", "not an invite"),
        (str(INVITE.tox_id), "this is a Tox ID, not an invite; give it to `toxvpn peer add`"),
        ("toxvpn-" + "ai" + TEXT[9:], "checksum"),
    ],
)
def test_a_mistake_is_named(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value) and TEXT[60:80] not in str(caught.value)


def test_another_version_asks_for_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toxvpn.wire.invite.VERSION", 2)
    newer = encode(INVITE)
    monkeypatch.undo()
    with pytest.raises(UsageError, match=r"version 2, .* only version 1; update"):
        decode(newer)


@given(st.text())
def test_no_text_does_worse_than_a_usage_error(text: str) -> None:
    for pasted in (text, "toxvpn-" + text):
        try:
            decode(pasted)
        except UsageError as error:
            assert "\n" not in str(error)


def test_expiry() -> None:
    INVITE.check_fresh(INVITE.expires - 1)
    with pytest.raises(UsageError, match="expired at 2027-01-15 08:00 UTC"):
        INVITE.check_fresh(INVITE.expires)


def test_the_secret_is_not_shown() -> None:
    assert "fifteen" not in repr(INVITE)


# -- the friend request ---------------------------------------------------------------------------


@given(st.binary(min_size=15, max_size=15))
def test_the_request_carries_the_secret_and_ends_in_nul(secret: bytes) -> None:
    message = request_message(secret)
    assert (len(message), message[-1]) == (30, 0)
    assert parse_request(message) == secret


@given(st.binary(min_size=1, max_size=1015))
def test_a_shared_secret_is_never_taken_for_an_invite(secret: bytes) -> None:
    try:
        check_usable(secret)
    except UsageError:
        return
    assert parse_request(friend_request_message(secret)) is None


def test_an_invite_is_never_taken_for_a_shared_secret() -> None:
    message = request_message(INVITE.secret)
    for secret in (b"toxvpn-invite", b"toxvpn-invite\0" + INVITE.secret, INVITE.secret, message[:-1]):
        if b"\0" in secret:
            with pytest.raises(UsageError):
                check_usable(secret)
        else:
            assert judge_friend_request(message, secret) is SecretVerdict.WRONG


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"auto-toxvpn",
        friend_request_message(None),
        request_message(INVITE.secret)[:-1],
        request_message(INVITE.secret) + b"\0",
        request_message(INVITE.secret)[:-1] + b"\1",
        b"X" + request_message(INVITE.secret)[1:],
    ],
)
def test_other_messages_redeem_nothing(message: bytes) -> None:
    assert parse_request(message) is None
