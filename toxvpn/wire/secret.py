"""The shared secret inside a friend request: made by a client, judged by a server (docs/wire-format.md §1).

A request carries the secret and one NUL byte. tuntox servers that check a secret ignore a message
without the NUL; a client without a secret sends a fixed greeting, which has none.
"""

import enum
import hmac

from ..errors import UsageError

MAX_MESSAGE_BYTES = 1016  # tox.h TOX_MAX_FRIEND_REQUEST_LENGTH
GUESSABLE_BYTES = 16
"""A shorter secret could be guessed by somebody who may ask often enough."""
NO_SECRET_MESSAGE = b"Hi, fell"


class SecretVerdict(enum.Enum):
    """A server's verdict on a friend request; the value is a reason for the log and the status."""

    ACCEPTED = "the secret is right"
    NO_SECRET = "the client has no secret"
    NO_NUL = "the message does not end in NUL, so it is not a tuntox secret"
    WRONG = "the secret is wrong"


def friend_request_message(secret: bytes | None) -> bytes:
    """The message to send with a friend request, 1 to 1016 bytes.

    Raises UsageError if the secret cannot travel: empty, longer than 1015 bytes, or with a NUL inside.
    """
    if secret is None:
        return NO_SECRET_MESSAGE
    check_usable(secret)
    return secret + b"\0"


def check_usable(secret: bytes) -> None:
    """Raises UsageError, never naming the secret, if a friend request cannot carry it."""
    if not secret:
        raise UsageError("the shared secret is empty; give one of at least 1 byte, or leave the option out")
    if b"\0" in secret:
        raise UsageError("the shared secret contains a NUL byte, which would end it on the wire; remove it")
    if len(secret) >= MAX_MESSAGE_BYTES:
        raise UsageError(
            f"the shared secret has {len(secret)} bytes, a friend request holds {MAX_MESSAGE_BYTES - 1}; "
            "choose a shorter one"
        )


def judge_friend_request(message: bytes, secret: bytes) -> SecretVerdict:
    """Whether a friend request's message (any bytes) proves knowledge of `secret`, in constant time."""
    if message == NO_SECRET_MESSAGE:
        return SecretVerdict.NO_SECRET
    if not message.endswith(b"\0"):
        return SecretVerdict.NO_NUL
    if secret and hmac.compare_digest(message, secret + b"\0"):
        return SecretVerdict.ACCEPTED
    return SecretVerdict.WRONG
