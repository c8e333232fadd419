"""Shared secrets in friend requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import UsageError
from toxvpn.wire.secret import SecretVerdict, friend_request_message, judge_friend_request

usable = st.binary(min_size=1, max_size=1015).filter(lambda secret: b"\0" not in secret)


def test_golden_messages() -> None:
    assert friend_request_message(b"hunter2") == b"hunter2\x00"
    assert friend_request_message(None) == b"Hi, fellow tuntox instance!"[:8]


def test_the_longest_secret_fits_and_one_more_byte_does_not() -> None:
    assert len(friend_request_message(b"x" * 1015)) == 1016
    with pytest.raises(UsageError, match="1016 bytes, a friend request holds 1015"):
        friend_request_message(b"x" * 1016)


@pytest.mark.parametrize("secret", [b"", b"hunter\x002", b"hunter2\x00"])
def test_a_secret_that_cannot_travel_is_refused_without_naming_it(secret: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        friend_request_message(secret)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        (b"hunter2\x00", SecretVerdict.ACCEPTED),
        (b"hunter2", SecretVerdict.NO_NUL),
        (b"", SecretVerdict.NO_NUL),
        (b"auto-toxvpn", SecretVerdict.NO_NUL),
        (b"Hi, fell", SecretVerdict.NO_SECRET),
        (b"\x00", SecretVerdict.WRONG),
        (b"hunter\x00", SecretVerdict.WRONG),
        (b"hunter3\x00", SecretVerdict.WRONG),
        (b"hunter2\x00\x00", SecretVerdict.WRONG),
        (b"hunter2\x00more\x00", SecretVerdict.WRONG),
    ],
)
def test_verdicts(message: bytes, verdict: SecretVerdict) -> None:
    assert judge_friend_request(message, b"hunter2") is verdict
    assert "hunter2" not in verdict.value


def test_an_empty_secret_lets_nobody_in() -> None:
    assert judge_friend_request(b"\x00", b"") is SecretVerdict.WRONG


@given(usable)
def test_what_a_client_sends_its_server_accepts(secret: bytes) -> None:
    assert judge_friend_request(friend_request_message(secret), secret) is SecretVerdict.ACCEPTED


@given(st.binary(max_size=1100), usable)
def test_anything_else_is_not_accepted(message: bytes, secret: bytes) -> None:
    verdict = judge_friend_request(message, secret)
    assert (verdict is SecretVerdict.ACCEPTED) == (message == secret + b"\0")
