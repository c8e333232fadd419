"""Admission: decides on every friend request, and keeps toxcore's friend list to what is authorised.

Deny by default (docs/design.md, "Who may do what"). A grant is recorded in the FriendBook, so that a restart
keeps exactly the friends that today's configuration still covers. Refused requests are counted, and noted in
`pending` for a person to decide. Neighbours: the node reports requests, friends.py keeps the record,
wire/secret.py judges the message, members.py redeems invites, roster.py carries a person's decisions out.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import ToxvpnError
from ..tox.events import Event, FriendRequest, PeerConnection
from ..tox.node import Node
from ..tox.peer import Peer
from ..wire.ratelimit import RateLimit
from ..wire.secret import GUESSABLE_BYTES, SecretVerdict, judge_friend_request
from ..wire.toxid import is_public_key, key_prefix, short_key
from .friends import Authority, FriendBook, Grant
from .invites import InviteVerdict
from .pending import Pending

log = logging.getLogger("toxvpn.admission")

LOGGED_REFUSALS_PER_MINUTE = 10
"""Any stranger can send requests, and must not be able to fill the log."""
JUDGED_PER_S = 10
JUDGED_AT_ONCE = 100
"""Limits the guessing of a short secret; a request refused for it may be repeated (seenrequests.py)."""
UNKNOWN_KEY = "unknown key"
BLOCKED = "blocked"
NO_ROOM = "too many friends came by the secret or by --open, and all of them are online"
NOT_KEPT = "the grant cannot be written to disk"
TOO_MANY = "too many requests"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not granted; `reason` is for the log and the status."""

    reason: str


class NoRoomError(ToxvpnError):
    """MOST_PASSING friends have a passing grant already, and all of them are online."""


Redeem = Callable[[bytes, bytes], InviteVerdict | None]
"""Takes a public key and the message of its request; returns None when the message redeems no invite."""


def no_invites(public_key: bytes, message: bytes) -> InviteVerdict | None:
    return None


class Admission:
    """Admits and removes friends of one node.

    `changed` is called when the book or the friend list should be saved; `wall` is time.time.
    """

    def __init__(
        self,
        node: Node,
        authority: Authority,
        book: FriendBook,
        changed: Callable[[], None],
        wall: Callable[[], float],
        redeem: Redeem = no_invites,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.pending = Pending()
        self._node = node
        self._authority = authority
        self._book = book
        self._changed = changed
        self._wall = wall
        self._redeem = redeem
        self._limit = RateLimit(JUDGED_PER_S, JUDGED_AT_ONCE)
        self._minute = -1
        self._logged = 0

    def start(self) -> None:
        self.settle()
        self._node.subscribe(self._on_event)

    def enter(self, authority: Authority) -> None:
        """Takes a new configuration and lets in the peers it names. Removes nobody: `settle` does."""
        self._authority = authority
        self._book.enter(authority, self._wall())
        for public_key in self._book:
            self._befriend(public_key)

    def settle(self) -> None:
        """Brings toxcore's friend list in line with what is authorised now."""
        for peer in self._node:
            if peer.online:
                self._book.seen(peer.public_key, self._wall())
        gone = self._book.settle(self._authority, self._wall())
        for public_key in self._book:
            self._befriend(public_key)
        for peer in self._node:
            if peer.public_key not in self._book:
                gone.add(peer.public_key)
                self._node.remove(peer)
        if gone:
            log.info("friends removed because nothing authorises them any more: %d", len(gone))
        self._changed()

    def _befriend(self, public_key: bytes) -> None:
        """A key that toxcore does not accept is logged, so that the others are still let in."""
        try:
            self._node.accept(public_key)
        except ToxvpnError as error:
            log.warning("peer %s cannot be added as a friend: %s", short_key(public_key), error)

    def admit(self, key: bytes, grant: Grant) -> Peer:
        """Lets that key in by `grant`.

        Raises NoRoomError, or ToxvpnError when toxcore does not accept the key.
        """
        known = self._node.peer(key)
        peer = known or self._node.accept(key)
        online = [peer.public_key for peer in self._node if peer.online]
        crowded_out = self._book.authorise(
            key, grant, self._wall(), secret=self._authority.secret, online=online
        )
        if crowded_out is None:
            if known is None:
                self._node.remove(peer)
            raise NoRoomError(NO_ROOM)
        self.pending.forget(key)
        for other in crowded_out:
            if (gone := self._node.peer(other)) is not None:
                self._node.remove(gone)
        log.info("peer %s: accepted (%s)", peer.short, grant.value)
        self._changed()
        return peer

    def dismiss(self, key: bytes) -> None:
        """Revokes its grant and ends the friendship; its next request is judged as a stranger's."""
        self._authority = replace(self._authority, peers=self._authority.peers - {key})
        self._book.forget(key)
        if (peer := self._node.peer(key)) is not None:
            self._node.remove(peer)
        self._changed()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, FriendRequest):
            self._answer(event.public_key, event.message)
        elif isinstance(event, PeerConnection) and event.peer.public_key in self._book:
            self._book.seen(event.peer.public_key, self._wall())

    def _answer(self, key: bytes, message: bytes) -> None:
        try:
            verdict = self._judge(key, message, self._node.now())
            if isinstance(verdict, Grant):
                self.admit(key, verdict)
            else:
                self._refuse(key, verdict.reason)
        except NoRoomError:
            self._refuse(key, NO_ROOM)
        except ToxvpnError as error:  # it asks again: by then the disk may have room
            log.error("peer %s cannot be admitted: %s", short_key(key), error)
            self._refuse(key, NOT_KEPT)

    def _judge(self, key: bytes, message: bytes, now: float) -> Grant | Refusal:
        """Judges a request. With both a whitelist and a secret it must satisfy both; an invite is enough."""
        mine = self._authority
        if key in mine.blocked:
            return Refusal(BLOCKED)
        if key in mine.peers:
            return Grant.PEER
        if not is_public_key(key):
            return Refusal("not a valid public key")
        invited = self._redeem(key, message)
        if invited is not None:
            return Grant.INVITE if invited is InviteVerdict.ACCEPTED else Refusal(invited.value)
        if mine.whitelist and key not in mine.whitelist:
            return Refusal("not on the whitelist")
        if mine.secret is not None:
            short = len(mine.secret) < GUESSABLE_BYTES
            if short and key not in mine.whitelist and not self._limit.take(now):
                return Refusal(TOO_MANY)
            verdict = judge_friend_request(message, mine.secret)
            return Grant.SECRET if verdict is SecretVerdict.ACCEPTED else Refusal(verdict.value)
        if key in mine.whitelist:
            return Grant.WHITELIST
        return Grant.OPEN if mine.open else Refusal(UNKNOWN_KEY)

    def _refuse(self, key: bytes, reason: str) -> None:
        self.refused[reason] += 1
        if reason not in (TOO_MANY, BLOCKED):
            self.pending.note(key, reason, self._wall())
        minute = int(self._node.now() // 60)
        if minute != self._minute:
            self._minute, self._logged = minute, 0
        if self._logged < LOGGED_REFUSALS_PER_MINUTE:
            self._logged += 1
            hint = f" (toxvpn peer accept {key_prefix(key)} lets it in)" if reason == UNKNOWN_KEY else ""
            log.warning("friend request of %s… ignored: %s%s", short_key(key), reason, hint)
