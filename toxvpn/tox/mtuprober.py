"""Finds out how large a packet the path to each peer carries: wire/pathmtu.py on a node, with real time.

In: the node's events, and lossy packets of ID 202. Out: probes, acknowledgements, and the result in
`Peer.packet_bytes`, of which PeerPacketSize tells: the packet paths and the tuntox road heed it. Only a peer
whose status message says that it acknowledges probes is asked.
"""

import asyncio
import logging

from .._native.results import Connection, SendResult
from ..wire import pathmtu, statusmessage
from ..wire.pathmtu import Kind, PathMtu
from ..wire.ratelimit import RateLimit
from .events import Event, PeerConnection, PeerRemoved, PeerStatus
from .node import Node
from .ownstatus import OwnStatus
from .peer import Peer

log = logging.getLogger("toxvpn.tox")

ANSWERS_PER_S, ANSWERS_AT_ONCE = 10, 2 * len(pathmtu.LADDER)
"""Two searches of a peer's at once; more is not a search."""


class _Asked:
    """A peer that acknowledges probes, and the path on which it is asked."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.path: Connection | None = None
        self.mtu = PathMtu(peer.packet_bytes)


class MtuProber:
    """One for a node, as long as that lives."""

    def __init__(self, node: Node, own_status: OwnStatus) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._asked: dict[bytes, _Asked] = {}
        self._answers: dict[bytes, RateLimit] = {}
        self._timer: asyncio.TimerHandle | None = None
        node.subscribe(self._hear)
        node.on_packet_id(pathmtu.PACKET_ID, self._receive)
        own_status.set(probes=True)

    def close(self) -> None:
        """Asks no more. Idempotent."""
        self._asked.clear()
        self._plan()

    def settled(self, peer: Peer) -> bool:
        """Whether `packet_bytes` of the peer is the last word, as far as it acknowledges probes."""
        asked = self._asked.get(peer.public_key)
        return peer.status_text is not None and not (asked and asked.mtu.searching)

    def _hear(self, event: Event) -> None:
        if isinstance(event, PeerRemoved):
            self._asked.pop(event.peer.public_key, None)
            self._answers.pop(event.peer.public_key, None)
        elif isinstance(event, PeerStatus):
            said = statusmessage.decode(event.text).toxvpn
            if said is not None and said.probes:
                self._asked.setdefault(event.peer.public_key, _Asked(event.peer))
                self._follow(event.peer)
            else:
                self._asked.pop(event.peer.public_key, None)
        elif isinstance(event, PeerConnection):
            self._follow(event.peer)
        else:
            return
        self._plan()

    def _follow(self, peer: Peer) -> None:
        """Searches where the peer is on another path than before."""
        asked = self._asked.get(peer.public_key)
        if asked is None or asked.path is peer.connection:
            return
        asked.path = peer.connection
        if peer.online:
            asked.mtu.search(self._node.now())
            self._send(asked)
        else:
            asked.mtu.stop()

    def _receive(self, peer: Peer, packet: bytes) -> None:
        probe = pathmtu.decode_untrusted(packet)
        if probe is None:
            return
        now = self._node.now()
        if probe.kind is Kind.PROBE:
            answers = self._answers.setdefault(peer.public_key, RateLimit(ANSWERS_PER_S, ANSWERS_AT_ONCE))
            if answers.take(now):
                self._node.tox.send_lossy(peer.number, pathmtu.encode(pathmtu.acknowledgement(probe)))
        elif (asked := self._asked.get(peer.public_key)) is not None:
            asked.mtu.acknowledged(probe.token, probe.size_bytes, now)
            self._apply(asked)
            self._plan()

    def _timed(self) -> None:
        self._timer = None
        if self._node.closed:
            return
        try:
            now = self._node.now()
            for asked in list(self._asked.values()):
                asked.mtu.handle_timer(now)
                self._send(asked)
                self._apply(asked)
        finally:
            self._plan()

    def _send(self, asked: _Asked) -> None:
        probes = asked.mtu.next_probes()
        for at, probe in enumerate(probes):
            sent = self._node.tox.send_lossy_unfragmented(asked.peer.number, pathmtu.encode(probe))
            if sent is SendResult.QUEUE_FULL:
                asked.mtu.put_back(probes[at:], self._node.now())
                return

    def _apply(self, asked: _Asked) -> None:
        if asked.mtu.packet_bytes != asked.peer.packet_bytes:
            carries = asked.mtu.packet_bytes
            asked.peer.log(log, logging.INFO, "the path carries Tox packets of %d bytes", carries)
            self._node.set_packet_bytes(asked.peer, carries)

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [time_s for asked in self._asked.values() if (time_s := asked.mtu.next_timer()) is not None]
        if due:
            self._timer = self._loop.call_at(min(due), self._timed)
