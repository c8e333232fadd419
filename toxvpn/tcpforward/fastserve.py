"""The serving side of the fast road: SOCKS5 on our private stack, for those whose address is a peer's.

In: connections that come through Tox and the TUN; out: relays to targets. A source address is the
hash of a public key, and the datapath has checked it against the sender, so it says who is calling.
The calling side is `fastcall.py`.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from ..tox.peer import Peer
from ..wire.socks5 import ConnectRequest, ReplyCode, encode_reply
from .ends import End, SocketEnd
from .listen import Listener
from .lossless import Serve
from .relay import Relay
from .socks import HANDSHAKE_S, handshake
from .target import TargetRefusedError

log = logging.getLogger("toxvpn.tcpforward")

PeerAt = Callable[[IPv6Address], Peer | None]


class FastServer:
    """Takes over `listener`, of `Stack.listen(FORWARD_PORT)`; serves from construction until `close`."""

    def __init__(self, listener: socket.socket, peer_at: PeerAt, serve: Serve, relay: Relay) -> None:
        self._peer_at = peer_at
        self._serve = serve
        self._relay = relay
        self._listener = Listener([listener], self._carry)
        self._listener.start()

    async def close(self) -> None:
        """Streams that run are reset."""
        await self._listener.close()

    async def _carry(self, caller: socket.socket) -> None:
        """A connection of a peer's, from accept to its last byte."""
        end = SocketEnd(caller)
        try:
            opened = await self._open(caller)
        except (OSError, TimeoutError) as failure:
            log.debug("fast road, before a stream was open: %s", failure)
            end.close(clean=False)
            return
        except BaseException:
            end.close(clean=False)
            raise
        if opened is None:
            end.close(clean=True)
            return
        peer, target, rest = opened
        await self._relay.join(end, target, rest, owner=peer)

    async def _open(self, caller: socket.socket) -> tuple[Peer, End, bytes] | None:
        """Who calls, the target, and bytes for it; None when the caller has been told of a failure."""
        peer = self._peer_at(IPv6Address(caller.getpeername()[0]))
        if peer is None:
            raise ConnectionRefusedError("the caller is no peer")
        complain = partial(peer.tell, log, logging.WARNING, "its call on the fast road: %s")
        async with asyncio.timeout(HANDSHAKE_S):
            request = await handshake(caller, complain)
        if request is None:
            return None
        target = await self._connect(caller, peer, request)
        return (peer, target, request.rest) if target else None

    async def _connect(self, caller: socket.socket, peer: Peer, request: ConnectRequest) -> End | None:
        loop = asyncio.get_running_loop()
        try:
            target = await self._serve(peer, request.host, request.port)
        except TargetRefusedError as refusal:
            peer.tell(log, logging.INFO, "refused: %s", refusal)
            await loop.sock_sendall(caller, encode_reply(refusal.code))
            return None
        try:
            await loop.sock_sendall(caller, encode_reply(ReplyCode.SUCCEEDED))
        except BaseException:
            target.close(clean=False)
            raise
        return target
