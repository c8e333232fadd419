"""Invites: the text that a person passes on, and the friend request that redeems it (docs/wire-format.md §5).

In: a Tox ID, a one-use secret and an expiry time, all chosen by the caller; out: text, and back.
Neighbours: members/invites.py remembers which invites are outstanding and judges requests.

The text is `toxvpn-` and 96 letters of base32 (RFC 4648 §6) for these 60 bytes:

-  1 byte   version, 1
- 32 bytes  public key of the inviting node
-  4 bytes  its nospam
- 15 bytes  secret
-  4 bytes  when it expires, seconds since the epoch
-  4 bytes  CRC-32 of the 56 bytes before

60 bytes are 96 letters exactly, so there is no padding. Case does not matter: a QR code of the upper-case
text uses the compact alphanumeric mode.
"""

import base64
import struct
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..errors import UsageError
from .toxid import NOSPAM_BYTES, PUBLIC_KEY_BYTES, ToxId, is_public_key, parse_tox_id

PREFIX = "toxvpn-"
VERSION = 1
SECRET_BYTES = 15  # 120 bits cannot be guessed, and 60 bytes are 96 letters without padding
LETTERS = 96
LATEST_EXPIRY = (1 << 32) - 1

_LAYOUT = struct.Struct(f">B{PUBLIC_KEY_BYTES}s{NOSPAM_BYTES}s{SECRET_BYTES}sI")
_CHECKSUM = struct.Struct(">I")
# 0 and 1 do not occur: typed ones are read as the letters that look like them
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" + "abcdefghijklmnopqrstuvwxyz" + "01")

# A shared secret holds no NUL byte (wire/secret.py), so its message is never one of these.
_REQUEST_MAGIC = b"toxvpn-invite\0"
_REQUEST_BYTES = len(_REQUEST_MAGIC) + SECRET_BYTES + 1


@dataclass(frozen=True, slots=True)
class Invite:
    """`secret` (15 bytes) lets one machine in at `tox_id` until `expires` (seconds since the epoch)."""

    tox_id: ToxId
    secret: bytes = field(repr=False)
    expires: int

    def check_fresh(self, now: float) -> None:
        """Raises UsageError once it has expired."""
        if now >= self.expires:
            raise UsageError(
                f"this invite expired at {utc(self.expires)}; ask for a new one "
                "(or set this machine's clock if it is wrong)"
            )


def utc(moment: float) -> str:
    """Seconds since the epoch for a person, in UTC, to the minute."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def is_invite(text: str) -> bool:
    """Whether `text` starts as an invite does; it may still be damaged."""
    return text.strip()[: len(PREFIX)].lower() == PREFIX


def encode(invite: Invite) -> str:
    """The text to pass on: `toxvpn-` and 96 lower-case letters and digits."""
    assert len(invite.secret) == SECRET_BYTES
    assert 0 <= invite.expires <= LATEST_EXPIRY
    tox_id = invite.tox_id
    body = _LAYOUT.pack(VERSION, tox_id.public_key, tox_id.nospam, invite.secret, invite.expires)
    whole = body + _CHECKSUM.pack(zlib.crc32(body))
    return PREFIX + base64.b32encode(whole).decode("ascii").lower()


def decode(text: str) -> Invite:
    """The invite in `text`: any letter case, and white space anywhere, as mail programs put it.

    Raises UsageError with one line that says what is wrong; the text, being secret, is not in it.
    """
    letters = _letters("".join(text.split()))
    whole = base64.b32decode(letters, casefold=True, map01="L")
    body, (found,) = whole[: _LAYOUT.size], _CHECKSUM.unpack(whole[_LAYOUT.size :])
    if zlib.crc32(body) != found:
        raise UsageError("the checksum of this invite does not match: a letter is wrong; copy it again")
    version, public_key, nospam, secret, expires = _LAYOUT.unpack(body)
    if version != VERSION:
        raise UsageError(
            f"this invite has version {version}, and this toxvpn knows only version {VERSION}; "
            "update toxvpn here"
        )
    if not is_public_key(public_key):
        raise UsageError("the Tox ID in this invite is not valid; ask for a new invite")
    return Invite(ToxId(public_key, nospam), secret, expires)


def _letters(text: str) -> str:
    """The 96 letters after the prefix, all of them valid in base32. Raises UsageError."""
    if not is_invite(text):
        raise UsageError(_not_an_invite(text))
    letters = text[len(PREFIX) :]
    for position, letter in enumerate(letters, len(PREFIX) + 1):
        if letter not in _ALPHABET:
            raise UsageError(
                f"character {position} of this invite is {letter!r}; only a-z and 2-7 can occur; "
                "copy it again"
            )
    if len(letters) != LETTERS:
        raise UsageError(
            f"this invite has {len(letters)} characters after {PREFIX!r} instead of {LETTERS}; copy all of it"
        )
    return letters


def _not_an_invite(text: str) -> str:
    try:
        parse_tox_id(text)
    except UsageError:
        return f"this is not an invite: an invite starts with {PREFIX!r}; copy what `toxvpn invite` prints"
    return "this is a Tox ID, not an invite; give it to `toxvpn peer add` or `toxvpn up --peer`"


def request_message(secret: bytes) -> bytes:
    """The friend request message that redeems an invite, 30 bytes."""
    assert len(secret) == SECRET_BYTES
    return _REQUEST_MAGIC + secret + b"\0"


def parse_request(message: bytes) -> bytes | None:
    """The 15-byte secret in a friend request's message (any bytes); None when it redeems no invite."""
    if len(message) != _REQUEST_BYTES or not message.startswith(_REQUEST_MAGIC) or message[-1]:
        return None
    return message[len(_REQUEST_MAGIC) : -1]
