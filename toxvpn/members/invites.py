"""Outstanding invites, kept in invites.json beside the identity.

An invite lets in one machine: the first key that proves its secret in time is bound to it, and may ask again
(a client repeats its request until it is accepted). Only a hash of each secret is kept; as secrets have 120
random bits, an unsalted one is enough. Pure but for load and save; the clock is the caller's.
Neighbours: wire/invite.py has text and message; admission.py asks; members.py changes the record.
"""

import enum
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..errors import PeerRefusedError, UsageError
from ..state.files import write_atomic
from ..state.records import LeftOut, moment, named, put_each, read_entries
from ..wire.toxid import key_prefix
from .peers import ALL, Allow, May, parse_allow, parse_may

INVITES_NAME = "invites.json"
SCHEMA = 1
MOST_OUTSTANDING = 64
SHORTEST_S = 60
LONGEST_S = 365 * 86400
HANDLE_DIGITS = 8
_PERSON = b"toxvpn invite"
_DIGEST_BYTES = 32


class InviteVerdict(enum.Enum):
    """How a friend request with an invite was judged; the value is a reason for the log and the status."""

    ACCEPTED = "the invite is good"
    UNKNOWN = "the invite is not one of ours, or was revoked"
    EXPIRED = "the invite has expired"
    USED = "the invite was used by another machine"


@dataclass(frozen=True, slots=True)
class Outstanding:
    """One invite; times in seconds since the epoch, `used_by` the public key that it is bound to.

    `may` is what its user may do here, `allow` what it may reach; `closed`: without that nothing over the
    VPN, unless an earlier version made it.
    """

    digest: bytes = field(repr=False)
    made: int
    expires: int
    name: str | None = None
    used_by: bytes | None = None
    may: frozenset[May] = ALL
    allow: Allow | None = None
    closed: bool = True

    @property
    def handle(self) -> str:
        """The digits by which a person names it, to revoke it."""
        return self.digest.hex()[:HANDLE_DIGITS]

    def described(self) -> dict[str, Any]:
        """For `invite --list`, also over the control socket; without the secret."""
        used_by = None if self.used_by is None else self.used_by.hex().upper()
        return {
            "handle": self.handle,
            "expires": self.expires,
            "name": self.name,
            "used_by": used_by,
            "may": sorted(self.may),
            "allow": None if self.allow is None else list(self.allow),
        }


def digest_of(secret: bytes) -> bytes:
    return blake2b(secret, digest_size=_DIGEST_BYTES, person=_PERSON).digest()


class InviteBook:
    """The record in memory."""

    def __init__(self, outstanding: Iterable[Outstanding] = ()) -> None:
        self._by_digest = {invite.digest: invite for invite in outstanding}

    def copy(self) -> "InviteBook":
        return InviteBook(self._by_digest.values())

    def __iter__(self) -> Iterator[Outstanding]:
        """In the order in which they expire."""
        return iter(sorted(self._by_digest.values(), key=lambda invite: (invite.expires, invite.digest)))

    def add(
        self,
        secret: bytes,
        lifetime_s: float,
        now: float,
        name: str | None = None,
        may: frozenset[May] = ALL,
        allow: Allow | None = None,
    ) -> Outstanding:
        """Enters a new one. Raises UsageError when there are too many or its lifetime is out of bounds."""
        if not SHORTEST_S <= lifetime_s <= LONGEST_S:
            raise UsageError(f"{lifetime_s:g} s is out of range: an invite is valid for 1 minute to 365 days")
        self.purge(now)
        if sum(invite.used_by is None for invite in self) >= MOST_OUTSTANDING:
            raise UsageError(
                f"{MOST_OUTSTANDING} invites are outstanding already; "
                "revoke some with `toxvpn invite --revoke`"
            )
        invite = Outstanding(digest_of(secret), int(now), int(now + lifetime_s), name, may=may, allow=allow)
        self._by_digest[invite.digest] = invite
        return invite

    def redeem(
        self, secret: bytes, public_key: bytes, now: float
    ) -> tuple[InviteVerdict, Outstanding | None]:
        """Judges a secret that came with a friend request of that key, and binds a good one to the key.

        The second value is the invite when it is accepted, as it was before.
        """
        wanted, found = digest_of(secret), None
        for (
            invite
        ) in self._by_digest.values():  # compares with all of them, so that the time taken says nothing
            if hmac.compare_digest(invite.digest, wanted):
                found = invite
        if found is None:
            return InviteVerdict.UNKNOWN, None
        if now >= found.expires:
            return InviteVerdict.EXPIRED, None
        if found.used_by not in (None, public_key):
            return InviteVerdict.USED, None
        self._by_digest[found.digest] = replace(found, used_by=public_key)
        return InviteVerdict.ACCEPTED, found

    def revoke(self, handle: str) -> Outstanding:
        """Revokes the unused invite whose handle begins so. Raises PeerRefusedError, UsageError."""
        fitting = [each for each in self if handle and each.handle.startswith(handle.lower())]
        if not fitting:
            raise PeerRefusedError(f"there is no invite {handle!r}; see `toxvpn invite --list`")
        if len(fitting) > 1:
            raise UsageError(f"{handle!r} matches {len(fitting)} invites; give more digits")
        (invite,) = fitting
        if invite.used_by is not None:
            key = key_prefix(invite.used_by)
            raise UsageError(
                f"invite {handle!r} was used already; `toxvpn peer remove {key}` shuts that machine out"
            )
        del self._by_digest[invite.digest]
        return invite

    def forget_key(self, public_key: bytes) -> None:
        """Drops the invites that key has used, so that repeating its request does not let it in again."""
        self._by_digest = {
            digest: invite for digest, invite in self._by_digest.items() if invite.used_by != public_key
        }

    def purge(self, now: float) -> None:
        """Drops what has expired."""
        self._by_digest = {
            digest: invite for digest, invite in self._by_digest.items() if now < invite.expires
        }


# -- the file -------------------------------------------------------------------------------------


def load(directory: Path) -> InviteBook:
    """The record in the directory; a damaged one is set aside as .bad, and earlier invites are void.

    Raises NoPermissionError or ToxvpnError when the file is there and cannot be read.
    """
    return read_entries(directory / INVITES_NAME, decode, InviteBook(), "earlier invites are void")


def save(directory: Path, book: InviteBook) -> None:
    """Writes the record, whole and 0600. Raises ToxvpnError."""
    write_atomic(directory / INVITES_NAME, encode(book))


def encode(book: InviteBook) -> bytes:
    entries = [
        {
            "digest": invite.digest.hex(),
            "made": invite.made,
            "expires": invite.expires,
            "name": invite.name,
            "used_by": invite.used_by and invite.used_by.hex().upper(),
            "may": sorted(invite.may),
            "allow": None if invite.allow is None else list(invite.allow),
            "closed": invite.closed,
        }
        for invite in book
    ]
    return json.dumps({"schema": SCHEMA, "invites": entries}, indent=1).encode() + b"\n"


def decode(data: bytes, left_out: LeftOut) -> InviteBook:
    """Raises ValueError, KeyError, TypeError or AttributeError when it is not such a record."""
    document = json.loads(data)
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not {SCHEMA}")
    found: list[Outstanding] = []
    raws = ((f"invite {named(raw, 'name', 'digest')}", raw) for raw in document["invites"])
    put_each(raws, lambda raw: found.append(decode_entry(raw)), left_out)
    return InviteBook(found)


def decode_entry(raw: dict[str, Any]) -> Outstanding:
    digest, used_by, name = bytes.fromhex(raw["digest"]), raw["used_by"], raw["name"]
    key = None if used_by is None else bytes.fromhex(used_by)
    if len(digest) != _DIGEST_BYTES or (key is not None and len(key) != 32):
        raise ValueError("a digest or a key has the wrong length")
    if not isinstance(name, str | None):
        raise TypeError(f"the name {name!r} is not text")
    may = parse_may(raw["may"]) if "may" in raw else ALL  # a version without "may" let it do everything
    allow = None if raw.get("allow") is None else parse_allow(raw["allow"])
    closed = raw.get("closed", False) is not False
    made, expires = int(moment(raw["made"])), int(moment(raw["expires"]))
    return Outstanding(digest, made, expires, name, key, may, allow, closed)
