"""The calling side of forwards: carries bytes between a local end and a target behind a peer.

Connections may be made before the peer is online: they wait for it. Neighbours: listen.py, socks.py
and pipe.py bring local ends; the roads carry them.
"""

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

from ..errors import PeerOfflineError, ToxvpnError
from ..tox.events import Event, PeerConnection
from ..tox.loglimit import LogLimit
from ..tox.node import Node
from ..tox.peer import Peer
from ..wire import statusmessage
from ..wire.socks5 import ReplyCode
from .ends import socket_end
from .road import Road, Stream, StreamOpenError, until_told
from .spec import Target

if TYPE_CHECKING:
    from .fast.road import FastRoad

log = logging.getLogger("toxvpn.tcpforward")

WAIT_FOR_PEER_S = 60.0
"""A connection waits this long for a peer that is not online: a server's restart takes less."""


class Caller:
    """Opens streams through one peer, and waits for it to be online."""

    def __init__(self, node: Node, peer: Peer, road: Road) -> None:
        self.peer = peer
        self.log_limit = LogLimit()
        """Limits the lines about failed connections: a program that keeps trying does not fill the log."""
        self._road = road
        self._online = asyncio.Event()
        if peer.online:
            self._online.set()
        self.node = node
        node.subscribe(self._on_event)

    def close(self) -> None:
        """Opens no more streams; those that are open go on."""
        self.node.unsubscribe(self._on_event)

    async def open(self, target: Target) -> Stream:
        """Raises StreamOpenError, PeerOfflineError."""
        await self.wait_online(WAIT_FOR_PEER_S)
        if target.takes_toxvpn:
            await until_told(self.node, self.peer)
            if self.peer.status_text is not None and not _is_toxvpn(self.peer):
                raise _lacking(target, self.peer, ReplyCode.HOST_UNREACHABLE)
        try:
            return await self._road.open(self.peer, target.host, target.port)
        except StreamOpenError as failure:
            unknown = failure.code is ReplyCode.HOST_UNREACHABLE or not _is_toxvpn(self.peer)
            if target.takes_toxvpn and unknown:
                raise _lacking(target, self.peer, failure.code) from None
            raise

    async def fast_road(self) -> "FastRoad":
        """For what needs it. Raises ToxvpnError: it does not lead there; of that PeerOfflineError."""
        await self.wait_online(WAIT_FOR_PEER_S)
        return await self._road.fast_road(self.peer)

    async def wait_online(self, deadline_s: float | None) -> None:
        """None: for as long as it takes. Raises PeerOfflineError."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._online.wait()
        except TimeoutError:
            raise PeerOfflineError(
                f"the peer was not reached in {deadline_s:.0f} s: check that it is running, that the secret "
                "is right, and that this machine has Internet access"
            ) from None

    async def carry(self, local: socket.socket, target: Target) -> None:
        """Carries an accepted connection to its last byte; resets it when anything goes wrong."""
        end = socket_end(local)
        try:
            stream = await self.open(target)
        except ToxvpnError as failure:
            self.log_limit.log(log, logging.WARNING, "%s: %s", target, failure)
            end.close(clean=False)
            return
        except BaseException:
            end.close(clean=False)
            raise
        await stream.relay(end)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection) and event.peer is self.peer:
            if self.peer.online:
                self._online.set()
            else:
                self._online.clear()


def _is_toxvpn(peer: Peer) -> bool:
    return statusmessage.decode(peer.status_text or b"").speaks_toxvpn


def _lacking(target: Target, peer: Peer, code: ReplyCode) -> StreamOpenError:
    what = "Unix sockets" if target.is_path else "this"
    if _is_toxvpn(peer):
        return StreamOpenError(code, f"the peer's toxvpn does not have {what}, or not in this version")
    return StreamOpenError(code, f"the peer runs tuntox, which does not have {what}")
