"""The serving side of the fast road: SOCKS5 on our private stack, for connections from a peer's address.

In: connections that come through Tox and the TUN; out: relays to targets. A source address is the
hash of a public key, and the datapath has checked it against the sender, so it says who is calling.
The calling side is `road.py`.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from ...tox.loglimit import LogLimit
from ...tox.peer import Peer
from ...wire.socks5 import ConnectRequest, ReplyCode, encode_refusal, encode_reply
from ..budget import DESCRIPTORS, STREAM_DESCRIPTORS
from ..builtin import BuiltinEnd
from ..ends import End, SocketEnd
from ..listen import Listener, reset
from ..relay import Relay
from ..server import Serve
from ..socks import HANDSHAKE_S, handshake
from ..target import TargetRefusedError

log = logging.getLogger("toxvpn.tcpforward")

REQUEST_BYTES = 4096
MAX_STREAMS = 2048
"""Streams of one peer at once: enough for a thousand connections through one forward; bounds memory."""

PeerAt = Callable[[IPv6Address], Peer | None]


class FastServer:
    """Takes over `listener`, of `Stack.listen(FORWARD_PORT)`; serves from construction until `close`."""

    def __init__(self, listener: socket.socket, peer_at: PeerAt, serve: Serve, relay: Relay) -> None:
        self._peer_at = peer_at
        self._serve = serve
        self._relay = relay
        self._streams: Counter[Peer] = Counter()
        self._full = LogLimit(at_once=1)
        self._listener = Listener([listener], self._carry, turn_away)
        self._listener.start()
        DESCRIPTORS.when_scarce.append(self._make_room)

    async def close(self) -> None:
        """Resets the streams that run."""
        DESCRIPTORS.when_scarce.remove(self._make_room)
        await self._listener.close()

    async def _carry(self, caller: socket.socket) -> None:
        """Serves a connection of a peer, from accept to its last byte."""
        peer = self._caller(caller)
        if peer is None:
            reset(caller)
            return
        held = self._streams[peer]
        if held >= MAX_STREAMS or not DESCRIPTORS.allows_more(held * STREAM_DESCRIPTORS):
            text = "peer %s: refused: it already has %d streams, as many as it may have"
            self._full.log(log, logging.WARNING, text, peer.short, held)
            turn_away(caller)
            return
        self._streams[peer] += 1
        try:
            await self._carry_for(peer, caller)
        finally:
            self._streams[peer] -= 1
            self._streams += Counter()  # keeps those that have some

    def _make_room(self) -> None:
        """Resets the streams of the peer that has been away longest: others need what they hold."""
        away = [peer for peer in self._streams if not peer.online]
        longest = min(away, key=lambda peer: peer.changed_s, default=None)
        if longest is not None and (count := self._relay.reset(longest, "others need its descriptors")):
            text = "peer %s has been away longest, its streams make room for others: %d"
            log.warning(text, longest.short, count)

    def _caller(self, caller: socket.socket) -> Peer | None:
        try:
            return self._peer_at(IPv6Address(caller.getpeername()[0]))
        except OSError:  # it is gone
            return None

    async def _carry_for(self, peer: Peer, caller: socket.socket) -> None:
        end = SocketEnd(caller)
        try:
            opened = await self._open(peer, caller)
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
        target, rest = opened
        if isinstance(target, BuiltinEnd) and target.take is not None:
            _hand_over(caller, end, target, target.take if not rest else None)
            return
        await self._relay.join(end, target, rest, owner=peer)

    async def _open(self, peer: Peer, caller: socket.socket) -> tuple[End, bytes] | None:
        """The connected target, and first bytes for it; None when the caller has been told of a failure."""
        on_fault = partial(peer.log, log, logging.WARNING, "bad request on the fast road: %s")
        async with asyncio.timeout(HANDSHAKE_S):
            request = await handshake(caller, on_fault)
        if request is None:
            return None
        target = await self._connect(caller, peer, request)
        return (target, request.rest) if target else None

    async def _connect(self, caller: socket.socket, peer: Peer, request: ConnectRequest) -> End | None:
        loop = asyncio.get_running_loop()
        try:
            target = await self._serve(peer, request.host, request.port)
            if isinstance(target, BuiltinEnd) and target.take is not None:
                target.reserve()
        except TargetRefusedError as refusal:
            peer.log(log, logging.INFO, "refused: %s", refusal)
            await loop.sock_sendall(caller, encode_reply(refusal.code))
            return None
        try:
            await loop.sock_sendall(caller, encode_reply(ReplyCode.SUCCEEDED))
        except BaseException:
            target.close(clean=False)
            raise
        return target


def _hand_over(
    caller: socket.socket, end: SocketEnd, target: End, take: Callable[[socket.socket], None] | None
) -> None:
    """Gives the connection itself to what takes it, and closes ours; resets it when that cannot be."""
    try:
        if take is None:
            raise OSError("bytes came before the answer")
        take(caller)
    except (OSError, EOFError) as failure:
        log.debug("a stream could not be handed over: %s", failure)
        end.close(clean=False)
    else:
        end.close(clean=True)
    finally:
        target.close(clean=False)


def turn_away(caller: socket.socket) -> None:
    """Refuses before the request is read, with a SOCKS5 reply: a reset would look like a broken road."""
    with contextlib.suppress(OSError):
        caller.recv(REQUEST_BYTES)  # what is unread would make a reset of the close
    with contextlib.suppress(OSError):
        caller.send(encode_refusal(ReplyCode.GENERAL_FAILURE))
    caller.close()
