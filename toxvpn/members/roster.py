"""The roster: configured peers on a running node, which it asks to let us in and lets in.

In: control commands, `up --peer`, and the node's events. Out: friend requests, admissions and removals, each
effective at once and without disturbing other peers. Neighbours: members.py keeps the files; admission.py
judges the requests of others.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import PeerRefusedError, ToxvpnError, UsageError
from ..tox.events import Event, PeerConnection
from ..tox.node import Node
from ..wire.invite import Invite
from ..wire.routegrant import NO_ROUTES, RouteGrant
from ..wire.toxid import PUBLIC_KEY_BYTES, ToxId, parse_public_key_or_id
from .admission import Admission
from .blocked import Blocked
from .friends import Authority, FriendBook, Grant
from .members import Member, Members
from .peers import ALL, NETWORK, Allow, ConfiguredPeer, May, merged, updated
from .pending import PendingRequest
from .selector import find, is_key

log = logging.getLogger("toxvpn.tox")

FEWEST_DIGITS_TO_ACCEPT = 16
"""Strangers choose their keys: another key with the same 8 digits takes minutes to find, with 16 too long."""


class Roster:
    """Made before the node starts; then `start` once.

    `authority` is today's configuration without its peers: those in `directory` and `run_peers`, which
    are for this run only, are added here. `offers` is what this machine offers: what an invite or `accept`
    allows by default. `on_routes` is called when a command has changed what `routes` answers, `on_allow` when
    what `allow_of` answers. `has_section`: whether config.toml has a section for that key. `changed` is
    Autosave.changed, `wall` is time.time.
    Raises UsageError when our own key is among `run_peers`, ToxvpnError when peers.json cannot be read.
    """

    def __init__(
        self,
        node: Node,
        authority: Authority,
        book: FriendBook,
        changed: Callable[[], None],
        wall: Callable[[], float],
        directory: Path | None,
        run_peers: Iterable[ConfiguredPeer] = (),
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.offers = ALL
        self.on_routes: Callable[[], None] = lambda: None
        self.has_section: Callable[[bytes], bool] = lambda public_key: False
        self.on_allow: Callable[[], None] = lambda: None
        self._node = node
        self._wall = wall
        self._authority = authority
        self._asked: set[bytes] = set()
        self.members = Members(directory, book, wall, random)
        self._run_peers = self._checked(run_peers, yielding=True)
        authority = self._with_peers(authority)
        self.admission = Admission(node, authority, book, changed, wall, self.members.redeem)
        node.name_of = self._name_of

    def start(self) -> None:
        """Removes friends that are no longer authorised, then asks every peer whose Tox ID is known."""
        self.admission.start()
        self._node.subscribe(self._on_event)
        self._ask_all(self.peers().values())

    @contextlib.contextmanager
    def changed(self, authority: Authority, run_peers: Iterable[ConfiguredPeer]) -> Iterator[None]:
        """Changes to another configuration. Peers that it leaves as they are are not disturbed.

        Peers that it no longer covers are removed after the block; if the block raises, all is restored.
        Raises UsageError when our own key or a taken name is among `run_peers`.
        """
        checked, peers, book = self._checked(run_peers), self.peers(), self.members.book
        before = self._authority, self._run_peers, dict(book.friends)
        self._authority, self._run_peers = authority, checked
        try:
            self.admission.enter(self._with_peers(authority))
            yield
        except BaseException:
            self._authority, self._run_peers, book.friends = before
            self._settle()
            raise
        self.admission.settle()
        self._ask_all(peer for key, peer in self.peers().items() if peers.get(key) != peer)

    def _with_peers(self, authority: Authority) -> Authority:
        return replace(authority, peers=frozenset(self.peers()), blocked=frozenset(self.members.blocked))

    @property
    def own_key(self) -> bytes:
        return self._node.tox.address[:PUBLIC_KEY_BYTES]

    # -- looking up ----------------------------------------------------------------------------

    def peers(self) -> dict[bytes, ConfiguredPeer]:
        """Every configured peer by its public key, those of this run included."""
        both = dict(self.members.peers)
        for public_key, peer in self._run_peers.items():
            both[public_key] = updated(both.get(public_key), peer)
        return {key: peer for key, peer in both.items() if key != self.own_key and not self.is_blocked(key)}

    def _name_of(self, public_key: bytes) -> str | None:
        peer = self.peers().get(public_key)
        return None if peer is None else peer.name

    def may(self, public_key: bytes) -> frozenset[May] | None:
        """The rights that a person gave that key; None when nothing was stated. A configuration overrides it.

        A peer of this run is on its network, whatever rights it was kept with.
        """
        kept = self.members.may(public_key)
        return (kept or NETWORK) | NETWORK if public_key in self._run_peers else kept

    def routes(self, public_key: bytes) -> RouteGrant:
        """The networks behind that peer that are used if it offers them."""
        peer = self.peers().get(public_key)
        return NO_ROUTES if peer is None or peer.routes is None else peer.routes

    def allow_of(self, public_key: bytes) -> Allow | None:
        """The rules that a person gave for what that key may reach here; None when nothing was stated."""
        peer = self.peers().get(public_key)
        return None if peer is None else peer.allow

    def is_closed(self, public_key: bytes) -> bool:
        """Whether that key reaches nothing over the VPN unless a person gave it rules."""
        peer = self.peers().get(public_key)
        return peer is not None and peer.closed

    def is_blocked(self, public_key: bytes) -> bool:
        return public_key in self.members.blocked

    @property
    def called(self) -> list[ConfiguredPeer]:
        """The peers that we ask to let us in."""
        return [peer for peer in self.peers().values() if peer.tox_id is not None]

    def grant(self, public_key: bytes) -> Grant | None:
        """The grant that lets that key in; None when it is not let in."""
        friend = self.members.book.friends.get(public_key)
        return friend.by if friend else None

    def is_asked(self, public_key: bytes) -> bool:
        """Whether we have asked it to let us in, and it has not connected since."""
        return public_key in self._asked

    @property
    def pending(self) -> list[PendingRequest]:
        """Strangers who have asked, as many as a person looks at."""
        return self.admission.pending.shown

    # -- what a person decides -----------------------------------------------------------------

    def add(self, peer: ConfiguredPeer) -> ConfiguredPeer:
        """Keeps it, lets it in and asks it. Raises UsageError (our own ID, its name), ToxvpnError."""
        self._check_not_us(peer)
        merged(self.peers(), peer)  # raises if a peer of this run has the name
        with self._kept(peer) as kept:
            self.admission.admit(kept.public_key, Grant.PEER)
            self._ask(kept)
        self.on_allow()  # it may have less than before
        return kept

    def accept(
        self,
        selector: str,
        name: str | None = None,
        may: frozenset[May] | None = None,
        allow: Allow | None = None,
    ) -> ConfiguredPeer:
        """Lets in a stranger who has asked, and keeps it. Raises PeerRefusedError, UsageError."""
        stranger = find(
            selector,
            self.admission.pending,
            fewest_digits=FEWEST_DIGITS_TO_ACCEPT,
            where=f"give {FEWEST_DIGITS_TO_ACCEPT} digits of a key that `toxvpn peer list` shows",
        )
        rights = self.offers if may is None else may
        peer = ConfiguredPeer(stranger.public_key, name=name, may=rights, allow=allow, closed=True)
        merged(self.peers(), peer)
        with self._kept(peer) as kept:
            self.admission.admit(kept.public_key, Grant.ACCEPT)
        return kept

    def rename(self, selector: str, name: str) -> ConfiguredPeer:
        """Keeps a peer under that name, also one of this run. Raises PeerRefusedError, UsageError."""
        member = find(selector, self._named())
        key = member.public_key
        if self.has_section(key):
            raise UsageError(f"peer {member.short} is named by its section of config.toml; change that")
        merged(self.peers(), ConfiguredPeer(key, name=name))
        of_this_run = self._run_peers.get(key)
        if of_this_run is None:
            return self.members.rename(member, name)
        kept = self.members.add(replace(of_this_run, name=name))
        self._run_peers[key] = replace(of_this_run, name=name)
        return kept

    def use_routes(self, selector: str, routes: RouteGrant) -> ConfiguredPeer:
        """Keeps which networks behind a peer are used. Raises PeerRefusedError, UsageError, ToxvpnError."""
        member = find(selector, self._named())
        configured = self._run_peers.get(member.public_key)
        if configured is not None and configured.routes is not None:
            raise UsageError(f"config.toml says which routes of {member.short} are used: change them there")
        kept = self.members.use_routes(member, routes)
        self.on_routes()
        return kept

    def allow(self, selector: str, allow: Allow) -> ConfiguredPeer:
        """Keeps what a peer may reach here. Raises PeerRefusedError, UsageError, ToxvpnError."""
        member = find(selector, self._named())
        if self.has_section(member.public_key):
            raise UsageError(
                f"config.toml has a section for {member.short}, which decides: set its `allow` there"
            )
        kept = self.members.allow(member, allow)
        self.on_allow()
        return kept

    def remove(self, selector: str) -> Member:
        """Shuts a peer out, now and at the next start. Raises PeerRefusedError, UsageError."""
        member = find(selector, self._named())
        if member.public_key in self._authority.whitelist:
            raise UsageError(f"peer {member.short} is let in by -i; restart toxvpn without that option")
        try:
            self.members.remove(member)
        finally:
            if member.public_key not in self.members.book:
                self._leave(member)
        return member

    def _leave(self, member: Member) -> None:
        if self._run_peers.pop(member.public_key, None) is not None:
            log.warning(
                "peer %s is named in config.toml or by --peer, and will be back after a restart", member.short
            )
        self._asked.discard(member.public_key)
        self.admission.dismiss(member.public_key)

    def block(self, selector: str) -> Member:
        """Shuts a key out, known or not, until `unblock`. Raises UsageError, PeerRefusedError, …"""
        member = to_block(selector, [*self._named(), *self.admission.pending])
        if member.public_key == self.own_key:
            raise UsageError(f"{selector!r} is this machine's own key, which cannot be blocked")
        try:
            self.members.block(member)
        finally:
            self._asked.discard(member.public_key)
            self.admission.pending.forget(member.public_key)
            self._settle()
        return member

    def unblock(self, selector: str) -> Blocked:
        """Treats it as the configuration says again. Raises UsageError, PeerRefusedError, …"""
        found = self.members.unblock(selector)
        self._settle()
        if (peer := self.peers().get(found.public_key)) is not None:
            self._ask_all([peer])
        return found

    def _settle(self) -> None:
        self.admission.enter(self._with_peers(self._authority))
        self.admission.settle()

    def invite(
        self,
        lifetime_s: float,
        name: str | None = None,
        may: frozenset[May] | None = None,
        allow: Allow | None = None,
    ) -> Invite:
        """Raises UsageError (bounds), ToxvpnError."""
        address = self._node.tox.address
        own = ToxId(address[:32], address[32:36])
        return self.members.invite(own, lifetime_s, name, self.offers if may is None else may, allow)

    # -- the node ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _kept(self, peer: ConfiguredPeer) -> Iterator[ConfiguredPeer]:
        """Keeps it, on disk first, and undoes that if the block fails. Raises UsageError, ToxvpnError."""
        before = self.members.peers
        kept = self.members.add(peer)
        try:
            yield kept
        except ToxvpnError:
            self.members.put_back(before)
            raise

    def _checked(
        self, run_peers: Iterable[ConfiguredPeer], *, yielding: bool = False
    ) -> dict[bytes, ConfiguredPeer]:
        """Raises UsageError: our own key, or a name that is taken.

        `yielding`: a kept peer of that name loses it instead, so that no file of ours prevents a start.
        """
        checked: dict[bytes, ConfiguredPeer] = {}
        for peer in run_peers:
            self._check_not_us(peer)
            checked = merged(checked, peer)
            if yielding and peer.name is not None:
                self.members.yield_name(peer.name, peer.public_key)
            merged(self.members.peers, peer)
        if self.own_key in self.members.peers:
            log.warning("this machine's own Tox ID is among its kept peers, and is ignored")
        return checked

    def _check_not_us(self, peer: ConfiguredPeer) -> None:
        if peer.public_key == self.own_key:
            raise UsageError("that is this machine's own Tox ID; give the other machine's")

    def _named(self) -> list[Member]:
        """The members, with the names of this run's peers."""
        peers = self.peers()
        return [replace(member, peer=peers.get(member.public_key)) for member in self.members]

    def _ask_all(self, peers: Iterable[ConfiguredPeer]) -> None:
        """A peer that cannot be asked is logged, so that the others are still asked."""
        for peer in list(peers):
            try:
                self._ask(peer)
            except ToxvpnError as error:
                log.warning("peer %s cannot be asked: %s", peer.short, error)

    def _ask(self, peer: ConfiguredPeer) -> None:
        known = self._node.peer(peer.public_key)
        if peer.tox_id is None or (known is not None and known.online):
            return
        self._asked.add(peer.public_key)
        self._node.reach(bytes(peer.tox_id), peer.request_message(self._wall()))

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection) and event.peer.online:
            self._asked.discard(event.peer.public_key)
            try:
                self.members.admitted(event.peer.public_key)
            except ToxvpnError as error:  # a full disk: the used invite stays in the file
                log.error("%s", error)


def to_block(selector: str, candidates: Iterable[Member | PendingRequest]) -> Member:
    """The key to block: that of one of `candidates`, or any whole key. Raises as selector.find."""
    try:
        found = find(selector, candidates)
    except PeerRefusedError:
        if not is_key(selector.strip()):
            raise
        return Member(parse_public_key_or_id(selector), None, None)
    return found if isinstance(found, Member) else Member(found.public_key, None, None)
