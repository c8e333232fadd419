"""The calling side of the fast road: a connection to the peer's private stack, and SOCKS5 on it.

In: peer, host, port; out: a `Stream` (road.py) or a reason. Request and connection travel together
(TCP fast open), so that a stream is open after one round trip. The other side is `server.py`.
"""

import asyncio
import contextlib
import os
import socket
from ipaddress import IPv6Address

from ...errors import PeerOfflineError, ToxvpnError
from ...tox.peer import Peer
from ...wire.addressing import overlay_ipv6
from ...wire.socks5 import (
    GREETING,
    BadReply,
    Connected,
    ConnectRefused,
    ReplyCode,
    Socks5Client,
    encode_connect,
)
from ..ends import End, SocketEnd
from ..relay import Relay
from ..road import Ending, StreamOpenError, refused
from . import segments
from .segments import Segments
from .stack import FORWARD_PORT, OutOfDescriptorsError, Stack

FIRST_ANSWER_S = 3.0
"""Time for the first answer of the peer's stack: it comes at once, or after lost packets are repeated."""
OPEN_S = 15.0
"""Time for the reply after that: the peer tries to reach the target for 10 s at most (target.py)."""

ANSWER_BYTES = 4096


class RoadBrokenError(ToxvpnError):
    """The peer's private stack did not answer, or not in SOCKS5: the fast road does not lead there."""


class FastStream:
    """See `road.Stream`."""

    def __init__(self, relay: Relay, peer: Peer, far: SocketEnd, rest: bytes) -> None:
        self._relay = relay
        self._peer = peer
        self._far = far
        self._rest = rest

    async def relay(self, local: End, first: bytes = b"") -> Ending:
        result = await self._relay.join(local, self._far, first, self._rest, owner=self._peer)
        return result.ending

    def detach(self) -> socket.socket | None:
        """The socket, in place of `relay`, to be copied for another process, and closed.

        None: bytes have come already.
        """
        return None if self._rest else self._far.detach()

    def abort(self) -> None:
        self._far.close(clean=False)


class FastRoad:
    """See `road.Road`. One for all peers."""

    name = "fast"

    def __init__(self, stack: Stack, relay: Relay) -> None:
        self._stack = stack
        self._relay = relay

    async def open(self, peer: Peer, host: str, port: int) -> FastStream:
        """Raises StreamOpenError, PeerOfflineError, RoadBrokenError, StackUnavailableError."""
        try:
            opening = encode_connect(host, port)
        except ValueError as error:
            raise StreamOpenError(ReplyCode.HOST_UNREACHABLE, str(error)) from None
        try:
            sock = await self._stack.socket()
        except OutOfDescriptorsError as error:
            raise StreamOpenError(ReplyCode.GENERAL_FAILURE, str(error)) from None
        end = SocketEnd(sock)
        try:
            rest = await _handshake(sock, await _call(sock, peer, opening))
        except BaseException:
            end.close(clean=False)
            raise
        return FastStream(self._relay, peer, end, rest)

    def segments(self, peer: Peer) -> dict[int, Segments]:
        """What the streams to and from the peer have sent so far, by descriptor."""
        return segments.read(self._relay.descriptors(peer), self._stack.address)

    async def fast_road(self, peer: Peer) -> "FastRoad":
        return self

    @property
    def address(self) -> IPv6Address:
        """Ours on the stack."""
        return self._stack.address

    async def datagram_socket(self) -> socket.socket:
        """A fresh non-blocking UDP socket on the stack. Raises StackUnavailableError."""
        return await self._stack.datagram_socket()

    async def probe(self, peer: Peer) -> None:
        """Returns when the peer's stack has answered a greeting: the road works.

        Raises PeerOfflineError, RoadBrokenError, StackUnavailableError.
        """
        with await self._stack.socket() as sock:
            await _call(sock, peer, GREETING)


async def _call(sock: socket.socket, peer: Peer, opening: bytes) -> bytes:
    """The peer's first answer. Raises PeerOfflineError, RoadBrokenError."""
    loop = asyncio.get_running_loop()
    address = str(overlay_ipv6(peer.public_key)), FORWARD_PORT
    try:
        async with asyncio.timeout(FIRST_ANSWER_S):
            sent = 0
            with contextlib.suppress(BlockingIOError):  # not in the SYN, then after it
                sent = sock.sendto(opening, socket.MSG_FASTOPEN, address)
            await loop.sock_sendall(sock, opening[sent:])
            answer = await loop.sock_recv(sock, ANSWER_BYTES)
    except TimeoutError as failure:
        # the kernel's ETIMEDOUT is one as well
        raise _broken(peer, f"no answer in {FIRST_ANSWER_S:g} s") from failure
    except OSError as failure:
        raise _broken(peer, os.strerror(failure.errno or 0)) from failure
    if not answer:
        raise _broken(peer, "it closed the connection")
    return answer


def _broken(peer: Peer, reason: str) -> ToxvpnError:
    if not peer.online:
        return PeerOfflineError("the peer went offline")
    return RoadBrokenError(f"the peer's private stack cannot be reached: {reason}")


async def _handshake(sock: socket.socket, answer: bytes) -> bytes:
    """Bytes of the stream that came with the reply. Raises StreamOpenError, RoadBrokenError."""
    client = Socks5Client()
    try:
        async with asyncio.timeout(OPEN_S):
            while (event := client.receive(answer)) is None:
                answer = await asyncio.get_running_loop().sock_recv(sock, ANSWER_BYTES)
                if not answer:
                    raise StreamOpenError(ReplyCode.GENERAL_FAILURE, "the peer closed the connection")
    except TimeoutError:
        raise StreamOpenError(ReplyCode.TIMED_OUT, f"the peer has not answered in {OPEN_S:g} s") from None
    except OSError as failure:
        raise StreamOpenError(
            ReplyCode.GENERAL_FAILURE, f"the connection to the peer was lost: {failure.strerror}"
        ) from None
    match event:
        case Connected(rest):
            return rest
        case ConnectRefused(code):
            raise refused(code)
        case BadReply(fault):
            raise RoadBrokenError(f"the peer's private stack does not speak SOCKS5: {fault}")
