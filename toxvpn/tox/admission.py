"""Who is let in: friend requests enter, accepted peers leave, everybody else is ignored and counted.

Deny by default (docs/design.md, "Who may do what"). The grant is recorded in the FriendBook, so that
a restart keeps exactly those friends that today's configuration still covers. Neighbours: node.py
tells of requests, friends.py keeps the record, wire/secret.py judges the message.
"""

import logging
from collections import Counter
from collections.abc import Callable

from ..wire.secret import SecretVerdict, judge_friend_request
from .events import Event, FriendRequest, PeerConnection
from .friends import Authority, FriendBook, Grant
from .node import Node

log = logging.getLogger("toxvpn.admission")

LOGGED_REFUSALS_PER_MINUTE = 10
"""Any stranger can send requests: the log must not be theirs to fill."""


class Admission:
    """`changed` is called when the book or the friend list should be saved; `wall` is time.time."""

    def __init__(
        self,
        node: Node,
        authority: Authority,
        book: FriendBook,
        changed: Callable[[], None],
        wall: Callable[[], float],
    ) -> None:
        self.refused: Counter[str] = Counter()
        self._node = node
        self._authority = authority
        self._book = book
        self._changed = changed
        self._wall = wall
        self._minute = -1
        self._logged = 0

    def start(self) -> None:
        """Brings toxcore's friend list in line with what is authorised today."""
        gone = self._book.settle(self._authority, self._wall())
        for peer in self._node:
            if peer.public_key not in self._book:
                gone.add(peer.public_key)
                self._node.remove(peer)
        for public_key in self._book:
            self._node.accept(public_key)
        if gone:
            log.info("%d friends of an earlier run are not authorised any more: removed", len(gone))
        self._node.subscribe(self._hear)
        self._changed()

    def _hear(self, event: Event) -> None:
        if isinstance(event, FriendRequest):
            self._judge(event)
        elif isinstance(event, PeerConnection) and event.peer.public_key in self._book:
            self._book.seen(event.peer.public_key, self._wall())

    def _judge(self, request: FriendRequest) -> None:
        """A whitelist and a secret must both be satisfied where both are asked for."""
        key, mine = request.public_key, self._authority
        if key in mine.peers:
            return self._accept(key, Grant.PEER)
        if mine.whitelist and key not in mine.whitelist:
            return self._refuse(key, "not on the whitelist")
        if mine.secret is not None:
            verdict = judge_friend_request(request.message, mine.secret)
            if verdict is not SecretVerdict.ACCEPTED:
                return self._refuse(key, verdict.value)
            return self._accept(key, Grant.SECRET)
        if key in mine.whitelist:
            return self._accept(key, Grant.WHITELIST)
        if mine.open:
            return self._accept(key, Grant.OPEN)
        return self._refuse(key, "unknown key")

    def _accept(self, key: bytes, grant: Grant) -> None:
        online = [peer.public_key for peer in self._node if peer.online]
        crowded_out = self._book.authorise(
            key, grant, self._wall(), secret=self._authority.secret, online=online
        )
        for other in crowded_out:
            if (peer := self._node.peer(other)) is not None:
                self._node.remove(peer)
        peer = self._node.accept(key)
        log.info("peer %s: accepted (%s)", peer.short, grant.value)
        self._changed()

    def _refuse(self, key: bytes, reason: str) -> None:
        self.refused[reason] += 1
        minute = int(self._node.now() // 60)
        if minute != self._minute:
            self._minute, self._logged = minute, 0
        if self._logged < LOGGED_REFUSALS_PER_MINUTE:
            self._logged += 1
            log.warning("request of %s… ignored: %s", key.hex()[:8].upper(), reason)
