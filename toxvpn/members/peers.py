"""Configured peers, which a person has named, kept in peers.json beside the identity.

In: what was typed (`peer add`, `up --peer`, `join`) and the file. Out: ConfiguredPeer values, and the
file. Pure but for load and save. Neighbours: members.py changes the record; roster.py makes them friends.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..state.files import write_atomic
from ..state.records import LeftOut, named, put_each, read_entries
from ..wire import invite as invites
from ..wire.invite import Invite
from ..wire.routegrant import RouteGrant, grant_words, parse_grant
from ..wire.secret import friend_request_message
from ..wire.toxid import PUBLIC_KEY_DIGITS, ToxId, key_prefix, parse_public_key_or_id, parse_tox_id, short_key
from .selector import as_address, is_key

PEERS_NAME = "peers.json"
SCHEMA = 1
MAX_NAME_CHARACTERS = 63
NAME_PUNCTUATION = "-_."
HEX_DIGITS = "0123456789abcdefABCDEF"
FEWEST_ID_DIGITS = 32
"""A text of this many hex digits is taken for a key, not a name."""

PLAIN_MESSAGE = b"auto-toxvpn"
"""The message of a request without a secret: what toxvpn in C++ sends (docs/wire-format.md §2)."""


class May(StrEnum):
    """The rights of a kept peer: to be on the VPN, to use forwards of this server."""

    VPN = "vpn"
    FORWARDS = "forwards"


ALL = frozenset(May)
NETWORK = frozenset({May.VPN})
"""What a peer may do that we name in order to call it: naming it does not open the server to it."""


Allow = tuple[str, ...]
"""Rules, as typed, for what a peer may reach (tcpforward/rules.py)."""


@dataclass(frozen=True, slots=True)
class ConfiguredPeer:
    """A peer by its public key. Without `nospam` (4 bytes) its Tox ID is not known, and it cannot be asked.

    `invite` is the one it gave us; it is dropped once the peer has let us in. `secret` is for requests to
    this peer only, and not kept in the file. `may` None: not stated. In the file that means that an earlier
    version wrote it, which allowed everything. `routes` are the networks behind it that are used; None: not
    stated, so none. `allow` has the rules for what it may reach here; None: not stated. `closed`: without
    them it reaches nothing over the VPN.
    """

    public_key: bytes
    nospam: bytes | None = None
    name: str | None = None
    invite: Invite | None = field(default=None, repr=False)
    secret: bytes | None = field(default=None, repr=False)
    may: frozenset[May] | None = None
    routes: RouteGrant | None = None
    allow: Allow | None = None
    closed: bool = False

    @property
    def tox_id(self) -> ToxId | None:
        return None if self.nospam is None else ToxId(self.public_key, self.nospam)

    @property
    def short(self) -> str:
        """Its name, or the first 8 digits of its key."""
        return self.name or short_key(self.public_key)

    def request_message(self, now: float) -> bytes:
        """The message of our friend request: its invite unless expired, else its secret, else a plain one.

        Never the secret that lets others in here: that would let the peer, and anybody it tells, come in.
        """
        if self.invite is not None and now < self.invite.expires:
            return invites.request_message(self.invite.secret)
        return PLAIN_MESSAGE if self.secret is None else friend_request_message(self.secret)


Peers = Mapping[bytes, ConfiguredPeer]
"""By public key."""


def parse_peer(text: str, name: str | None, now: float) -> ConfiguredPeer:
    """The peer meant by an invite, a Tox ID or a public key.

    Raises UsageError when it is something else, or an invite that has expired (`now` in seconds since the
    epoch).
    """
    if invites.is_invite(text):
        invite = invites.decode(text)
        invite.check_fresh(now)
        return ConfiguredPeer(invite.tox_id.public_key, invite.tox_id.nospam, name, invite)
    if len(text.strip()) == PUBLIC_KEY_DIGITS:
        return ConfiguredPeer(parse_public_key_or_id(text), None, name)
    tox_id = parse_tox_id(text)
    return ConfiguredPeer(tox_id.public_key, tox_id.nospam, name)


def check_name(name: str) -> None:
    """Raises UsageError unless `name` is a usable name that cannot be taken for a key, address or invite."""
    if not name or len(name) > MAX_NAME_CHARACTERS or not name[0].isalnum():
        raise UsageError(
            f"the name {name!r} is not usable: it must have 1 to {MAX_NAME_CHARACTERS} characters "
            "and begin with a letter or digit"
        )
    for letter in name:
        if not (letter.isalnum() or letter in NAME_PUNCTUATION):
            raise UsageError(
                f"the name {name!r} is not usable: it contains {letter!r}; "
                "use letters, digits, '-', '_' and '.'"
            )
    if as_address(name) is not None or is_like_key(name) or invites.is_invite(name):
        raise UsageError(f"the name {name!r} is not usable: it looks like an address, an ID or an invite")


def is_like_key(text: str) -> bool:
    """Whether it looks like a key or ID, even if some digits are missing."""
    return is_key(text) or (len(text) >= FEWEST_ID_DIGITS and all(digit in HEX_DIGITS for digit in text))


def merged(peers: Peers, new: ConfiguredPeer) -> dict[bytes, ConfiguredPeer]:
    """`peers` with `new` entered; fields that `new` does not state keep their value.

    Raises UsageError when its name is not usable, or taken by another peer.
    """
    if new.name is not None:
        check_name(new.name)
    new = updated(peers.get(new.public_key), new)
    for other in peers.values():
        if new.name is not None and other.public_key != new.public_key and same_name(other.name, new.name):
            raise UsageError(
                f"{other.name!r} is the name of peer {key_prefix(other.public_key)} already; "
                "choose another, or rename that peer first"
            )
    return {**peers, new.public_key: new}


def updated(old: ConfiguredPeer | None, new: ConfiguredPeer) -> ConfiguredPeer:
    """`new`, with the fields that it does not state taken from `old`."""
    if old is None:
        return new
    return replace(
        new,
        nospam=new.nospam if new.nospam is not None else old.nospam,
        name=new.name if new.name is not None else old.name,
        invite=new.invite if new.invite is not None else old.invite,
        secret=new.secret if new.secret is not None else old.secret,
        may=new.may if new.may is not None else old.may,
        routes=new.routes if new.routes is not None else old.routes,
        allow=new.allow if new.allow is not None else old.allow,
        closed=new.closed or old.closed,
    )


def same_name(one: str | None, other: str) -> bool:
    return one is not None and one.casefold() == other.casefold()


# -- the file -------------------------------------------------------------------------------------


def load(directory: Path) -> dict[bytes, ConfiguredPeer]:
    """The peers in peers.json in the directory; empty when there is no such file.

    Damaged entries are left out, logged, and kept as .bad: a person chose these peers, and must notice when
    one is missing. Raises NoPermissionError or ToxvpnError when the file is there and cannot be read.
    """
    return read_entries(directory / PEERS_NAME, decode, {}, "there are no kept peers now")


def save(directory: Path, peers: Peers) -> None:
    """Writes the file, whole and 0600. Raises ToxvpnError."""
    write_atomic(directory / PEERS_NAME, encode(peers))


def encode(peers: Peers) -> bytes:
    entries = [entry(peer) for _, peer in sorted(peers.items())]
    return json.dumps({"schema": SCHEMA, "peers": entries}, indent=1).encode() + b"\n"


def entry(peer: ConfiguredPeer) -> dict[str, Any]:
    written: dict[str, Any] = {"public_key": peer.public_key.hex().upper()}
    if peer.nospam is not None:
        written["tox_id"] = str(peer.tox_id)
    if peer.name is not None:
        written["name"] = peer.name
    if peer.invite is not None:
        written["invite"] = invites.encode(peer.invite)
    if peer.may is not None:
        written["may"] = sorted(peer.may)
    if peer.routes is not None:
        written["routes"] = grant_words(peer.routes)
    if peer.allow is not None:
        written["allow"] = list(peer.allow)
    if peer.closed:
        written["closed"] = True
    return written


def decode(data: bytes, left_out: LeftOut) -> dict[bytes, ConfiguredPeer]:
    """Raises ValueError, KeyError, TypeError or AttributeError when the file is damaged."""
    document = json.loads(data)
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not {SCHEMA}")
    peers: dict[bytes, ConfiguredPeer] = {}

    def put(raw: dict[str, Any]) -> None:
        peer = decode_entry(raw)
        peers.update(merged(peers, peer))

    put_each(((named(raw, "name", "public_key"), raw) for raw in document["peers"]), put, left_out)
    return peers


def decode_entry(raw: dict[str, Any]) -> ConfiguredPeer:
    key = parse_public_key_or_id(raw["public_key"])
    tox_id = parse_tox_id(raw["tox_id"]) if "tox_id" in raw else None
    invite = invites.decode(raw["invite"]) if "invite" in raw else None
    named = {key, tox_id.public_key if tox_id else key, invite.tox_id.public_key if invite else key}
    if len(named) != 1:
        raise ValueError(f"there are two different keys in the entry of {key_prefix(key)}")
    may = None if raw.get("may") is None else parse_may(raw["may"])
    routes = None if raw.get("routes") is None else parse_grant(raw["routes"])
    return ConfiguredPeer(
        key,
        tox_id.nospam if tox_id else None,
        raw.get("name"),
        invite,
        may=may,
        routes=routes,
        allow=None if raw.get("allow") is None else parse_allow(raw["allow"]),
        closed=raw.get("closed", False) is not False,
    )


def parse_may(words: list[str]) -> frozenset[May]:
    """Raises ValueError, TypeError."""
    if not isinstance(words, list):
        raise TypeError(f"{words!r} is not a list")
    return frozenset(May(word) for word in words)


def parse_allow(rules: list[str]) -> Allow:
    """Raises TypeError."""
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        raise TypeError(f"{rules!r} is not a list of rules")
    return tuple(rules)
