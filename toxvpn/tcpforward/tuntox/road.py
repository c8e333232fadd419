"""The tuntox road: streams as lossless Tox packets, understood by tuntox programs, both ways.

One `TuntoxLink` for each peer (link.py), with what our side asks of it (calls.py); the requests of peers
are served by server.py. A byte goes: local end -> stream.py -> wire/tuntox/ (frames, order, credit) ->
driver.py -> node -> Tox, and back.
"""

from collections import Counter
from typing import NoReturn

from ...errors import ToxvpnError
from ...tox.events import Event, PeerConnection, PeerPacketSize, PeerRemoved, PeerStatus
from ...tox.node import Node
from ...tox.peer import Peer
from ...wire.tuntox.frames import PACKET_ID, FrameDrop
from ..server import Serve
from .link import TuntoxLink
from .retries import SendRetries
from .server import TuntoxServer
from .stream import TunnelStream


class TuntoxRoad:
    """One for all peers of a node. `serve` None: requests are refused (a client)."""

    name = "tuntox"

    def __init__(self, node: Node, serve: Serve | None = None) -> None:
        self._node = node
        self._server = TuntoxServer(serve)
        self._retries = SendRetries(node)
        self._links: dict[bytes, TuntoxLink] = {}  # by public key
        self._past_drops: Counter[FrameDrop] = Counter()
        node.subscribe(self._on_event)
        node.on_packet_id(PACKET_ID, self._receive)

    async def open(self, peer: Peer, host: str, port: int) -> TunnelStream:
        """Raises StreamOpenError, PeerOfflineError."""
        return await self.link(peer).calls.open(host, port)

    async def fast_road(self, peer: Peer) -> NoReturn:
        """Raises ToxvpnError."""
        raise ToxvpnError("UDP needs the fast road")

    async def ping(self, peer: Peer) -> float:
        """The round trip in seconds. Waits for ever for an answer; raises PeerOfflineError."""
        return await self.link(peer).calls.ping()

    def rtt_s(self, public_key: bytes) -> float | None:
        """The round trip of the last ping that the peer has answered; one asks for its version."""
        link = self._links.get(public_key)
        return None if link is None else link.rtt_s

    def link(self, peer: Peer) -> TuntoxLink:
        found = self._links.get(peer.public_key)
        if found is None:
            found = TuntoxLink(self._node, peer, self._retries, self._server.start)
            self._links[peer.public_key] = found
        return found

    def drops(self) -> Counter[FrameDrop]:
        """Useless packets of the peers, those that have left included, by reason."""
        return sum((link.tunnels.drops for link in self._links.values()), self._past_drops)

    async def close(self) -> None:
        """Resets the streams that run for peers."""
        await self._server.close()
        for link in self._links.values():
            link.driver.send()
        self._retries.close()

    def _receive(self, peer: Peer, packet: bytes) -> None:
        self.link(peer).driver.receive(packet)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection):
            if event.peer.online:
                self.link(event.peer).on_online()
            elif (known := self._links.get(event.peer.public_key)) is not None:
                known.on_offline()
                if known.idle:  # a server sees many passing clients
                    self._forget(event.peer)
        elif isinstance(event, PeerRemoved):
            if (known := self._links.get(event.peer.public_key)) is not None:
                known.on_removed()
                self._forget(event.peer)
        elif isinstance(event, PeerPacketSize):
            self.link(event.peer).tunnels.resize(event.peer.packet_bytes)
        elif isinstance(event, PeerStatus):
            self.link(event.peer).on_status(event.text)

    def _forget(self, peer: Peer) -> None:
        self._past_drops += self._links.pop(peer.public_key).tunnels.drops
