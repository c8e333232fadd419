"""Friends and the grants that let them in: friends.json beside the savedata, which itself has only keys.

In: grants as they are made, and today's configuration. Out: the keys that today's configuration no longer
covers, which admission.py removes at the start. A friend that proved a secret in an earlier run stays while
that secret is in force: a server can be restarted under running clients. The record does not hold the secret,
only a salted scrypt digest of it.
"""

import hashlib
import json
import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..state.files import write_atomic
from ..state.records import LeftOut, moment, put_each, read_entries
from ..wire.toxid import parse_public_key_or_id

FRIENDS_NAME = "friends.json"
SCHEMA = 1
SALT_BYTES = 16
SECRET_STAYS = "secret_stays"
"""A key that is missing in records of versions that may have disclosed the secret."""
# 16 MiB and about 40 ms for each guess at a stolen record; paid once per start
SCRYPT_N = 1 << 14
SCRYPT_R = 8
SCRYPT_P = 1

DAY_S = 86400.0
UNSEEN_S = 14 * DAY_S
"""Clients without -C have a new key on each run; a key not seen for this long will not come back."""
MOST_PASSING = 128
"""Limit of friends that came by the secret or by --open: toxcore keeps looking for each of them."""


class Grant(StrEnum):
    """The reason why a friend was let in."""

    SECRET = "secret"
    OPEN = "open"
    WHITELIST = "whitelist"
    PEER = "peer"
    INVITE = "invite"
    ACCEPT = "accept"


PASSING = frozenset({Grant.SECRET, Grant.OPEN})
CONFIGURED = frozenset({Grant.WHITELIST, Grant.PEER})


def rank(grant: Grant) -> int:
    """0 to 2: passing grants are the weakest; a grant made by a person outlives the configuration."""
    return 0 if grant in PASSING else 1 if grant in CONFIGURED else 2


@dataclass(frozen=True, slots=True)
class Friend:
    """Times in seconds since the epoch; `secret_digest` only with Grant.SECRET."""

    by: Grant
    since: float
    last_online: float
    secret_digest: str = ""


@dataclass(frozen=True, slots=True)
class Authority:
    """Everything that today's configuration lets in: 32-byte keys from -i and --peer, a secret, or everybody.

    Where there is a whitelist and a secret, both are required, as in tuntox. `blocked` overrides all others.
    """

    whitelist: frozenset[bytes] = frozenset()
    peers: frozenset[bytes] = frozenset()
    blocked: frozenset[bytes] = frozenset()
    secret: bytes | None = None
    open: bool = False


@dataclass(slots=True)
class OnDisk:
    """What was written last, by a command or autosave: an old snapshot must not replace a newer one."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    data: bytes = b""
    newest: int = 0
    snapshots: int = 0


@dataclass(slots=True)
class FriendBook:
    """Pure logic: 32-byte public keys to grants. The clock is the caller's.

    `secret_is_out`: a version wrote the record that sent the server's own secret to every peer it called, and
    no warning of it has been given yet.
    """

    salt: bytes = field(default_factory=lambda: os.urandom(SALT_BYTES))
    friends: dict[bytes, Friend] = field(default_factory=dict)
    secret_is_out: bool = False
    on_disk: OnDisk = field(default_factory=OnDisk, repr=False, compare=False)
    _digests: dict[bytes, str] = field(default_factory=dict, repr=False, compare=False)

    def __contains__(self, public_key: bytes) -> bool:
        return public_key in self.friends

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self.friends))

    def digest(self, secret: bytes) -> str:
        """The scrypt digest (RFC 7914) of a secret, for the record. The first call is slow on purpose."""
        if secret not in self._digests:
            raw = hashlib.scrypt(secret, salt=self.salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, dklen=32)
            self._digests[secret] = raw.hex()
        return self._digests[secret]

    def settle(self, authority: Authority, now: float) -> set[bytes]:
        """Drops the keys that `authority` no longer covers or that were not seen for long, and returns them.

        Enters the keys that it names.
        """
        self.enter(authority, now)
        gone = {key for key, friend in self.friends.items() if not self._covered(key, friend, authority, now)}
        for public_key in gone:
            del self.friends[public_key]
        return gone

    def enter(self, authority: Authority, now: float) -> None:
        """Enters configured peers, and whitelisted keys that need no secret, if they are new."""
        for public_key in authority.whitelist - authority.blocked if authority.secret is None else ():
            self.authorise(public_key, Grant.WHITELIST, now)
        for public_key in authority.peers - authority.blocked:
            self.authorise(public_key, Grant.PEER, now)

    def _covered(self, public_key: bytes, friend: Friend, authority: Authority, now: float) -> bool:
        if public_key in authority.blocked:
            return False
        if friend.by in PASSING and now - friend.last_online > UNSEEN_S:
            return False
        match friend.by:
            case Grant.SECRET:
                return self._proved(public_key, friend, authority)
            case Grant.OPEN:
                return authority.open
            case Grant.WHITELIST:
                return public_key in authority.whitelist and authority.secret is None
            case Grant.PEER:
                return public_key in authority.peers
            case Grant.INVITE | Grant.ACCEPT:
                return True  # until `peer remove`

    def _proved(self, public_key: bytes, friend: Friend, authority: Authority) -> bool:
        if authority.secret is None or (authority.whitelist and public_key not in authority.whitelist):
            return False
        return friend.secret_digest == self.digest(authority.secret)

    def authorise(
        self,
        public_key: bytes,
        by: Grant,
        now: float,
        *,
        secret: bytes | None = None,
        online: Collection[bytes] = (),
    ) -> list[bytes] | None:
        """Enters a grant; returns the passing friends that had to make room, never one in `online`.

        None: there is no room for another passing friend, and none was entered. A stronger grant is not
        replaced by a weaker one.
        """
        known = self.friends.get(public_key)
        if known is not None and rank(known.by) > rank(by):
            self.seen(public_key, now)
            return []
        crowded_out = self._make_room(public_key, online) if by in PASSING else []
        if crowded_out is None:
            return None
        since = known.since if known is not None and known.by is by else now
        digest = self.digest(secret) if by is Grant.SECRET and secret is not None else ""
        self.friends[public_key] = Friend(by, since, now, digest)
        return crowded_out

    def _make_room(self, newcomer: bytes, online: Collection[bytes]) -> list[bytes] | None:
        """Drops passing friends for a new one and returns them; None when all of them are online."""
        passing = [key for key, friend in self.friends.items() if friend.by in PASSING and key != newcomer]
        excess = len(passing) + 1 - MOST_PASSING
        if excess <= 0:
            return []
        away = sorted(set(passing) - set(online), key=lambda key: self.friends[key].last_online)
        if len(away) < excess:
            return None
        for public_key in away[:excess]:
            del self.friends[public_key]
        return away[:excess]

    def seen(self, public_key: bytes, now: float) -> None:
        """Notes that the friend is online, or was until now."""
        friend = self.friends.get(public_key)
        if friend is not None:
            self.friends[public_key] = replace(friend, last_online=now)

    def forget(self, public_key: bytes) -> bool:
        """Removes the friend; False if it was not there."""
        return self.friends.pop(public_key, None) is not None


def load(directory: Path) -> FriendBook:
    """The record kept in the directory; a damaged one is set aside as .bad, and authorises nobody.

    Raises NoPermissionError or ToxvpnError when the file is there and cannot be read.
    """
    return read_entries(directory / FRIENDS_NAME, decode, FriendBook(), "friends must prove themselves again")


def save(directory: Path, book: FriendBook) -> None:
    """Writes the record, whole and 0600. Raises ToxvpnError."""
    Snapshot(book).save(directory)


class Snapshot:
    """A copy of the record as it is now, which any thread may write."""

    def __init__(self, book: FriendBook) -> None:
        self._data = encode(book)
        self._on_disk = book.on_disk
        book.on_disk.snapshots += 1
        self._number = book.on_disk.snapshots

    def save(self, directory: Path) -> None:
        """Writes it, unless the file has the same content or a newer one. Raises ToxvpnError."""
        on_disk = self._on_disk
        with on_disk.lock:
            if self._number > on_disk.newest:
                if self._data != on_disk.data:
                    write_atomic(directory / FRIENDS_NAME, self._data)
                on_disk.data, on_disk.newest = self._data, self._number


def encode(book: FriendBook) -> bytes:
    friends = {key.hex().upper(): entry(friend) for key, friend in sorted(book.friends.items())}
    document = {
        "schema": SCHEMA,
        "salt": book.salt.hex(),
        SECRET_STAYS: not book.secret_is_out,
        "friends": friends,
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def entry(friend: Friend) -> dict[str, Any]:
    known = {"by": friend.by.value, "since": round(friend.since), "last_online": round(friend.last_online)}
    return known | ({"secret_digest": friend.secret_digest} if friend.secret_digest else {})


def decode(data: bytes, left_out: LeftOut) -> FriendBook:
    """Raises ValueError, KeyError, TypeError or AttributeError when it is not such a record."""
    document = json.loads(data)
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not {SCHEMA}")
    book = FriendBook(bytes.fromhex(document["salt"]), secret_is_out=document.get(SECRET_STAYS) is not True)
    if len(book.salt) != SALT_BYTES:
        raise ValueError("the salt has the wrong length")

    def put(item: tuple[str, dict[str, Any]]) -> None:
        key, raw = item
        book.friends[parse_public_key_or_id(key)] = decode_entry(raw)

    put_each(((repr(item[0][:16]), item) for item in document["friends"].items()), put, left_out)
    return book


def decode_entry(raw: dict[str, Any]) -> Friend:
    return Friend(
        by=Grant(raw["by"]),
        since=moment(raw["since"]),
        last_online=moment(raw["last_online"]),
        secret_digest=str(raw.get("secret_digest", "")),
    )
