"""Tells peers of ours the endpoint that our router has mapped to us, and has theirs tried.

In: our endpoint (portmap/keeper.py), and packets of peers (wire/reach/mapped.py). Out: packets, and endpoints
to recovery.py, which asks the peer there while there is no direct path to it. What answers there, has to
prove the peer's keys; a peer that names an endpoint of another costs that one a few small datagrams.
"""

from collections import Counter

from ..._native.results import Connection
from ...wire import statusmessage
from ...wire.reach import mapped
from ...wire.reach.mapped import Endpoint
from ..events import Event, PeerConnection, PeerRemoved, PeerStatus
from ..node import Node
from ..peer import Peer
from .recovery import Recovery

TELLS = 3
"""Times that a peer is told, TELL_AGAIN_S apart: packets are lossy."""
TELL_AGAIN_S = 1.0


class MappedEndpoints:
    """One for each node, for as long as the node lives. `drops` counts packets that name no endpoint."""

    def __init__(self, node: Node, recovery: Recovery, drops: Counter[str]) -> None:
        self._node = node
        self._recovery = recovery
        self._own: Endpoint | None = None
        self._tells: dict[bytes, int] = {}
        self._told_s = float("-inf")
        self._drops = drops
        node.subscribe(self._on_event)
        node.on_packet_id(mapped.PACKET_ID, self._receive)
        node.each_tick.append(self._tick)

    def own_is(self, endpoint: Endpoint | None) -> None:
        """After each renewal too: who is not directly connected is told again."""
        changed, self._own = endpoint != self._own, endpoint
        if not changed and endpoint is None:
            return
        for peer in self._node:
            if self._is_ours(peer) and (changed or peer.connection is not Connection.UDP):
                self._tells[peer.public_key] = TELLS

    def _tick(self, now: float) -> None:
        if now - self._told_s < TELL_AGAIN_S or not self._tells:
            return
        self._told_s = now
        for key, left in list(self._tells.items()):
            peer = self._node.peer(key)
            if peer is not None and peer.online:
                self._node.tox.send_lossy(peer.number, mapped.encode(self._own))
            self._tells[key] = left - 1
            if left == 1:
                del self._tells[key]

    def _receive(self, peer: Peer, packet: bytes) -> None:
        try:
            self._recovery.mapped(peer, mapped.decode_untrusted(packet))
        except ValueError:
            self._drops["endpoint"] += 1

    def _is_ours(self, peer: Peer) -> bool:
        text = peer.status_text
        return peer.online and text is not None and statusmessage.decode(text).toxvpn is not None

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerStatus):
            if self._own is not None and self._is_ours(event.peer):
                self._tells[event.peer.public_key] = TELLS
        elif isinstance(event, PeerRemoved) or (isinstance(event, PeerConnection) and not event.peer.online):
            self._tells.pop(event.peer.public_key, None)
