"""Members: the record of everybody known here, in peers.json, invites.json, blocked.json and friends.json.

In: what a person decides (`peer add`, `peer remove`, `invite`), and invites that are redeemed. Out: the
files, written at once. In a daemon roster.py calls this and acts on it; without one the command line does.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ToxvpnError, UsageError
from ..wire.invite import SECRET_BYTES, Invite, parse_request
from ..wire.routegrant import RouteGrant
from ..wire.toxid import ToxId, key_prefix, short_key
from . import blocked, friends, invites, peers
from .blocked import Blocked
from .friends import PASSING, FriendBook, Grant, rank
from .invites import InviteBook, InviteVerdict, Outstanding
from .peers import ALL, NETWORK, Allow, ConfiguredPeer, May, check_name, merged
from .selector import find

log = logging.getLogger("toxvpn.tox")


@dataclass(frozen=True, slots=True)
class Member:
    """A key that may come in, or that we ask to let us in; `grant` is None while it is not let in."""

    public_key: bytes
    peer: ConfiguredPeer | None
    grant: Grant | None

    @property
    def name(self) -> str | None:
        return self.peer.name if self.peer else None

    @property
    def short(self) -> str:
        return self.name or short_key(self.public_key)


class Members:
    """The record; with `directory` None it is in memory only. `wall` is time.time; `random` is os.urandom.

    Raises NoPermissionError or ToxvpnError when the files cannot be read; every change
    raises ToxvpnError when they cannot be written, and then has no effect, unless it shuts a peer out.
    """

    def __init__(
        self,
        directory: Path | None,
        book: FriendBook,
        wall: Callable[[], float],
        random: Callable[[int], bytes],
    ) -> None:
        self.directory = directory
        self.on_peers: Callable[[], None] = lambda: None
        self.peers = {} if directory is None else peers.load(directory)
        self.invites = invites.InviteBook() if directory is None else invites.load(directory)
        self.blocked = {} if directory is None else blocked.load(directory)
        self.book = book
        self._wall = wall
        self._random = random

    def __iter__(self) -> Iterator[Member]:
        """Sorted by name, then those without a name by key."""
        members = [self._member(key) for key in {*self.peers, *self.book}]
        return iter(sorted(members, key=lambda each: (each.name is None, each.name or "", each.public_key)))

    def _member(self, public_key: bytes) -> Member:
        friend = self.book.friends.get(public_key)
        return Member(public_key, self.peers.get(public_key), friend.by if friend else None)

    def add(self, peer: ConfiguredPeer) -> ConfiguredPeer:
        """Keeps a peer; returns it merged with what was known of it. Raises UsageError (its name)."""
        if peer.public_key not in self.peers and peer.may is None:
            friend = self.book.friends.get(peer.public_key)
            came_in = friend is not None and friend.by is not Grant.PEER
            peer = replace(peer, may=ALL if came_in else NETWORK)  # what it was allowed so far stays allowed
        changed = merged(self.peers, peer)
        self._keep_peers(changed)
        return changed[peer.public_key]

    def put_back(self, before: dict[bytes, ConfiguredPeer]) -> None:
        """Restores `peers` as it was before an `add` that failed later."""
        self._keep_peers(before)

    def yield_name(self, name: str, public_key: bytes) -> None:
        """Drops the name, for this run, from any other peer that has it."""
        for key, peer in self.peers.items():
            if key != public_key and peers.same_name(peer.name, name):
                log.warning(
                    "config.toml names another peer %r: the kept peer %s has no name in this run",
                    name, key_prefix(key),
                )  # fmt: skip
                self.peers = {**self.peers, key: replace(peer, name=None)}

    def rename(self, member: Member, name: str) -> ConfiguredPeer:
        """Raises UsageError: the name is not usable, or the peer is not kept, which a name would change."""
        if member.peer is None and (member.grant is None or rank(member.grant) < rank(Grant.ACCEPT)):
            raise UsageError(
                f"peer {member.short} is not kept here; `toxvpn peer add KEY --name {name}` keeps it"
            )
        return self.add(ConfiguredPeer(member.public_key, name=name))

    def use_routes(self, member: Member, routes: RouteGrant) -> ConfiguredPeer:
        """Keeps which networks behind it are used. Raises UsageError: the peer is not kept."""
        if member.peer is None:
            raise UsageError(f"peer {member.short} is not kept here; `toxvpn peer add KEY` keeps it")
        return self.add(ConfiguredPeer(member.public_key, member.peer.nospam, routes=routes))

    def allow(self, member: Member, allow: Allow) -> ConfiguredPeer:
        """Keeps what it may reach here. Raises UsageError: the peer is not kept."""
        if member.peer is None and (member.grant is None or rank(member.grant) < rank(Grant.ACCEPT)):
            raise UsageError(f"peer {member.short} is not kept here; `toxvpn peer add KEY` keeps it")
        nospam = None if member.peer is None else member.peer.nospam
        return self.add(ConfiguredPeer(member.public_key, nospam, allow=allow))

    def may(self, public_key: bytes) -> frozenset[May] | None:
        """The rights that a person gave that key; None when nothing was stated."""
        peer, friend = self.peers.get(public_key), self.book.friends.get(public_key)
        if peer is not None:
            return ALL if peer.may is None else peer.may
        return ALL if friend is not None and friend.by in (Grant.INVITE, Grant.ACCEPT) else None

    def admitted(self, public_key: bytes) -> None:
        """Drops the invite of a peer that has let us in: it is used up."""
        peer = self.peers.get(public_key)
        if peer is not None and peer.invite is not None:
            self._keep_peers({**self.peers, public_key: replace(peer, invite=None)})

    def remove(self, member: Member) -> None:
        """Forgets it and all that let it in, at once; raises ToxvpnError when that cannot be written.

        Raises UsageError for a peer that would come back by itself.
        """
        if member.grant in PASSING:
            raise UsageError(
                f"peer {member.short} came by the shared secret or by --open, and would come again; "
                f"`toxvpn peer block {key_prefix(member.public_key)}` shuts it out"
            )
        self._forget(member)

    def _forget(self, member: Member) -> None:
        """Changes memory first, unlike elsewhere: a peer is shut out even if the disk is full."""
        key = member.public_key
        self.peers = {other: peer for other, peer in self.peers.items() if other != key}
        self.invites = self.invites.copy()
        self.invites.forget_key(key)
        self.book.forget(key)
        try:
            self._save_all()
        except ToxvpnError as error:
            raise ToxvpnError(f"peer {member.short} is shut out for this run only: {error}") from error

    def _save_all(self) -> None:
        """Writes every file that can be written. Raises the first ToxvpnError of those that cannot."""
        directory, failed = self.directory, None
        if directory is None:
            return
        saves: list[Callable[[], None]] = [
            lambda: blocked.save(directory, self.blocked),
            lambda: peers.save(directory, self.peers),
            lambda: invites.save(directory, self.invites),
            lambda: friends.save(directory, self.book),
        ]
        for save in saves:
            try:
                save()
            except ToxvpnError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    # -- blocked keys --------------------------------------------------------------------------

    def block(self, member: Member) -> None:
        """Shuts it out, whatever else would let it in, until `unblock`; raises as `remove`."""
        key = member.public_key
        self.blocked = {**self.blocked, key: Blocked(key, self._wall(), member.name)}
        self._forget(member)

    def unblock(self, selector: str) -> Blocked:
        """Makes it a stranger again. Raises PeerRefusedError, UsageError, ToxvpnError."""
        found = find(selector, self.blocked.values(), where="`toxvpn peer list` shows who is blocked")
        left = {key: each for key, each in self.blocked.items() if key != found.public_key}
        if self.directory is not None:
            blocked.save(self.directory, left)
        self.blocked = left
        return found

    # -- invites -------------------------------------------------------------------------------

    def invite(
        self,
        tox_id: ToxId,
        lifetime_s: float,
        name: str | None = None,
        may: frozenset[May] = ALL,
        allow: Allow | None = None,
    ) -> Invite:
        """A new invite from `tox_id`, our own; `name` is for the machine that uses it."""
        if name is not None:
            check_name(name)
        secret = self._random(SECRET_BYTES)
        changed = self.invites.copy()
        outstanding = changed.add(secret, lifetime_s, self._wall(), name, may, allow)
        self._keep_invites(changed)
        return Invite(tox_id, secret, outstanding.expires)

    def revoke(self, handle: str) -> Outstanding:
        """Raises PeerRefusedError, UsageError."""
        self.invites = self.invites.copy()
        revoked = self.invites.revoke(handle)
        self._keep_invites(self.invites)
        return revoked

    def redeem(self, public_key: bytes, message: bytes) -> InviteVerdict | None:
        """Judges a friend request; None when its message redeems no invite."""
        secret = parse_request(message)
        if secret is None:
            return None
        changed = self.invites.copy()
        verdict, invite = changed.redeem(secret, public_key, self._wall())
        if invite is not None:
            if invite.used_by is None:
                self._keep_invites(changed)
            if invite.used_by is None or public_key not in self.peers:
                self._keep_peers(merged(self.peers, self._invited(public_key, invite)))
        return verdict

    def _invited(self, public_key: bytes, invite: Outstanding) -> ConfiguredPeer:
        """A peer that is kept already loses nothing by an invite, and gains by it once."""
        name, known = self._free_name(invite.name), self.peers.get(public_key)
        if known is None:
            return ConfiguredPeer(
                public_key, name=name, may=invite.may, allow=invite.allow, closed=invite.closed
            )
        may = invite.may | (self.may(public_key) or frozenset())
        limited = known.closed or known.allow is not None
        allow = (*(known.allow or ()), *(invite.allow or ())) if limited and invite.allow else None
        return ConfiguredPeer(public_key, name=name, may=may, allow=allow and tuple(dict.fromkeys(allow)))

    def _free_name(self, name: str | None) -> str | None:
        """The name an invite was made with, unless another peer has taken it since."""
        taken = any(peers.same_name(peer.name, name) for peer in self.peers.values()) if name else True
        return None if taken else name

    # -- files ---------------------------------------------------------------------------------

    def _keep_peers(self, changed: dict[bytes, ConfiguredPeer]) -> None:
        if changed != self.peers and self.directory is not None:
            peers.save(self.directory, changed)
        self.peers = changed
        self.on_peers()

    def _keep_invites(self, changed: InviteBook) -> None:
        if self.directory is not None:
            invites.save(self.directory, changed)
        self.invites = changed
