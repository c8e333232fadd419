"""Tox addresses as text: parses what a person pastes into keys, or raises one line saying what is wrong.

Layout of a Tox ID (Tox specification, "Tox ID"; tox.h TOX_ADDRESS_SIZE), written as 76 hex digits:

- 32 bytes  public key
-  4 bytes  nospam
-  2 bytes  checksum: XOR of the 36 bytes before, the even-numbered into the first, the odd into the second
"""

from dataclasses import dataclass

from ..errors import UsageError

PUBLIC_KEY_BYTES = 32
NOSPAM_BYTES = 4
ADDRESS_BYTES = 38
PUBLIC_KEY_DIGITS = 2 * PUBLIC_KEY_BYTES
ADDRESS_DIGITS = 2 * ADDRESS_BYTES
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_URI_PREFIX = "tox:"
_UNUSED_BIT = 0x80


@dataclass(frozen=True, slots=True)
class ToxId:
    """A Tox address; `str()` is its 76 upper-case digits, `bytes()` the 38 bytes that tox.h takes."""

    public_key: bytes
    nospam: bytes

    @property
    def checksum(self) -> bytes:
        return checksum(self.public_key + self.nospam)

    def __bytes__(self) -> bytes:
        return self.public_key + self.nospam + self.checksum

    def __str__(self) -> str:
        return bytes(self).hex().upper()


def is_public_key(public_key: bytes) -> bool:
    """Whether toxcore can add 32 bytes as a friend's key.

    The top bit of the last byte must be 0. X25519 ignores it (RFC 7748 §5): toxcore delivers a request from a
    key that has it set, but cannot add such a key.
    """
    return not public_key[-1] & _UNUSED_BIT


def short_key(public_key: bytes) -> str:
    """The first 8 digits of a public key: how logs and messages name a peer."""
    return public_key.hex()[:8].upper()


def key_prefix(public_key: bytes) -> str:
    """The first 16 digits of a public key: enough for commands, as nobody can make another key with them."""
    return public_key.hex()[:16].upper()


def checksum(preceding: bytes) -> bytes:
    """The two checksum bytes of the 36 bytes before them."""
    even = odd = 0
    for index, value in enumerate(preceding):
        if index % 2:
            odd ^= value
        else:
            even ^= value
    return bytes((even, odd))


def parse_tox_id(text: str) -> ToxId:
    """The Tox ID in `text`: any letter case, surrounding white space and a `tox:` prefix are fine.

    Raises UsageError with one line that says what is wrong.
    """
    digits = _digits(text)
    if len(digits) == PUBLIC_KEY_DIGITS:
        raise UsageError(
            f"{_shortened(digits)} is a public key; the Tox ID has {ADDRESS_DIGITS} digits: "
            "ask the peer for what `toxvpn id` prints"
        )
    if len(digits) != ADDRESS_DIGITS:
        raise UsageError(
            f"{_shortened(digits)} is not a Tox ID: it has {len(digits)} digits instead of {ADDRESS_DIGITS}; "
            "copy all of what `toxvpn id` prints"
        )
    raw = bytes.fromhex(digits)
    tox_id = ToxId(raw[:PUBLIC_KEY_BYTES], raw[PUBLIC_KEY_BYTES : PUBLIC_KEY_BYTES + NOSPAM_BYTES])
    if bytes(tox_id) != raw:
        raise UsageError(
            f"the checksum of Tox ID {_shortened(digits)} does not match: one digit is wrong or missing; "
            "copy it again"
        )
    _checked(tox_id.public_key)
    return tox_id


def parse_public_key_or_id(text: str) -> bytes:
    """The 32-byte public key meant by `text`: either the key's 64 digits or a whole Tox ID.

    For places where the key is enough (allow lists, `peer remove`); adding a friend takes the whole Tox ID.
    Raises UsageError as `parse_tox_id` does.
    """
    digits = _digits(text)
    if len(digits) == PUBLIC_KEY_DIGITS:
        return _checked(bytes.fromhex(digits))
    if len(digits) != ADDRESS_DIGITS:
        raise UsageError(
            f"{_shortened(digits)} has {len(digits)} digits; give a Tox ID ({ADDRESS_DIGITS} digits) "
            f"or a public key ({PUBLIC_KEY_DIGITS} digits)"
        )
    return parse_tox_id(digits).public_key


def _checked(public_key: bytes) -> bytes:
    if not is_public_key(public_key):
        digits = public_key.hex().upper()
        raise UsageError(
            f"{_shortened(digits)} is not a public key: its digit {PUBLIC_KEY_DIGITS - 1} must be 0 to 7, "
            f"not {digits[-2]}; copy it again"
        )
    return public_key


def _digits(text: str) -> str:
    """The hex digits of `text` without white space around them and without the URI prefix."""
    digits = text.strip()
    if digits[: len(_URI_PREFIX)].lower() == _URI_PREFIX:
        digits = digits[len(_URI_PREFIX) :].strip()
    if not digits:
        raise UsageError(
            f"a Tox ID is missing; give the {ADDRESS_DIGITS} digits that `toxvpn id` prints on the peer"
        )
    for position, character in enumerate(digits, 1):
        if character not in _HEX_DIGITS:
            raise UsageError(
                f"{_shortened(digits)} is not a Tox ID: character {position} is {character!r}; "
                "only the digits 0-9 and A-F can occur"
            )
    return digits


def _shortened(text: str) -> str:
    """Enough of a long text to recognise it, quoted so that control characters are harmless."""
    return repr(text if len(text) <= 20 else f"{text[:16]}...")
