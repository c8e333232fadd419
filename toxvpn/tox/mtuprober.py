"""Finds the path MTU to each peer, and its round trip: runs wire/pathmtu.py on a node, in real time.

In: the node's events, and lossy packets of ID 202. Out: probes, acknowledgements, and the result in
`Peer.packet_bytes`, announced by PeerPacketSize: the packet paths and the tuntox road keep to it. The same
probes, one in 30 s, tell the round trip and the loss (wire/roundtrips.py). Only peers whose status message
says that they acknowledge probes are probed.
"""

import asyncio
import logging

from .._native.results import Connection, SendResult
from ..wire import pathmtu, statusmessage
from ..wire.pathmtu import LAST_TOKEN, PathMtu, Probe, ProbeKind
from ..wire.ratelimit import RateLimit
from ..wire.roundtrips import RoundTrips
from .events import Event, PeerConnection, PeerRemoved, PeerStatus
from .node import Node
from .ownstatus import OwnStatus
from .peer import Peer

log = logging.getLogger("toxvpn.tox")

ANSWERS_PER_S, ANSWERS_AT_ONCE = 10, 2 * len(pathmtu.LADDER)
"""Enough for two searches of a peer at once; more probes are not answered."""
LOOK_BYTES = pathmtu.LADDER[-1]
"""The smallest probe that peers acknowledge."""
LOOK_AGAIN_S = 1.0


class _Probed:
    """A peer that acknowledges probes, and the path that is being probed."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.path: tuple[Connection, bytes | None] | None = None
        self.mtu = PathMtu(peer.packet_bytes)
        self.trips = RoundTrips()
        self.looks = 0
        self.looked_s = float("-inf")


class MtuProber:
    """One for each node, for as long as the node lives."""

    def __init__(self, node: Node, own_status: OwnStatus) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._probed: dict[bytes, _Probed] = {}
        self._answers: dict[bytes, RateLimit] = {}
        self._timer: asyncio.TimerHandle | None = None
        node.subscribe(self._on_event)
        node.on_packet_id(pathmtu.PACKET_ID, self._receive)
        own_status.set(probes=True)

    def close(self) -> None:
        """Stops probing. Idempotent."""
        self._probed.clear()
        self._plan()

    def settled(self, peer: Peer) -> bool:
        """Whether `packet_bytes` of the peer is final: no search for it is running or about to start."""
        probed = self._probed.get(peer.public_key)
        return peer.status_text is not None and not (probed and probed.mtu.searching)

    def trips(self, public_key: bytes) -> RoundTrips | None:
        """What is known of the path to a peer that acknowledges probes."""
        probed = self._probed.get(public_key)
        return None if probed is None else probed.trips

    def look(self) -> None:
        """Measures the round trips anew, with small probes, for a person who looks on."""
        now = self._node.now()
        for probed in self._probed.values():
            if probed.peer.online and now - probed.looked_s >= LOOK_AGAIN_S:
                probed.looked_s = now
                probed.looks += 1
                token = LAST_TOKEN + 1 + (probed.looks & LAST_TOKEN)
                self._send_one(probed, Probe(ProbeKind.PROBE, token, LOOK_BYTES), fits=True)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerRemoved):
            self._probed.pop(event.peer.public_key, None)
            self._answers.pop(event.peer.public_key, None)
        elif isinstance(event, PeerStatus):
            status = statusmessage.decode(event.text).toxvpn
            if status is not None and status.probes:
                self._probed.setdefault(event.peer.public_key, _Probed(event.peer))
                self._follow(event.peer)
            else:
                self._probed.pop(event.peer.public_key, None)
        elif isinstance(event, PeerConnection):
            self._follow(event.peer)
        else:
            return
        self._plan()

    def _follow(self, peer: Peer) -> None:
        """Starts a search when the peer is on another path than before."""
        probed = self._probed.get(peer.public_key)
        path = peer.connection, peer.via
        if probed is None or probed.path == path:
            return
        probed.path = path
        probed.trips = RoundTrips()
        if peer.online:
            probed.mtu.search(self._node.now())
            self._send(probed)
        else:
            probed.mtu.stop()

    def _receive(self, peer: Peer, packet: bytes) -> None:
        probe = pathmtu.decode_untrusted(packet)
        if probe is None:
            return
        now = self._node.now()
        if probe.kind is ProbeKind.PROBE:
            answers = self._answers.setdefault(peer.public_key, RateLimit(ANSWERS_PER_S, ANSWERS_AT_ONCE))
            if answers.take(now):
                self._node.tox.send_lossy(peer.number, pathmtu.encode(pathmtu.acknowledgement(probe)))
        elif (probed := self._probed.get(peer.public_key)) is not None:
            probed.trips.acknowledged(probe.token, probe.size_bytes, now)
            probed.mtu.acknowledged(probe.token, probe.size_bytes, now)
            self._apply(probed)
            self._plan()

    def _on_timer(self) -> None:
        self._timer = None
        if self._node.closed:
            return
        try:
            now = self._node.now()
            for probed in list(self._probed.values()):
                probed.mtu.handle_timer(now)
                self._send(probed)
                self._apply(probed)
        finally:
            self._plan()

    def _send(self, probed: _Probed) -> None:
        probes = probed.mtu.next_probes()
        for at, probe in enumerate(probes):
            if self._send_one(probed, probe, fits=not probed.mtu.searching) is SendResult.QUEUE_FULL:
                probed.mtu.put_back(probes[at:], self._node.now())
                return

    def _send_one(self, probed: _Probed, probe: Probe, *, fits: bool) -> SendResult:
        now = self._node.now()
        sent = self._node.tox.send_lossy_unfragmented(probed.peer.number, pathmtu.encode(probe))
        if sent is SendResult.SENT:
            probed.trips.sent(probe.token, probe.size_bytes, now, fits=fits)
        return sent

    def _apply(self, probed: _Probed) -> None:
        if probed.mtu.packet_bytes != probed.peer.packet_bytes:
            carries = probed.mtu.packet_bytes
            probed.trips.resized()
            probed.peer.log(log, logging.INFO, "the path carries Tox packets of %d bytes", carries)
            self._node.set_packet_bytes(probed.peer, carries)

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [time_s for probed in self._probed.values() if (time_s := probed.mtu.next_timer()) is not None]
        if due:
            self._timer = self._loop.call_at(min(due), self._on_timer)
