"""The streams of one node, in both directions: made here, and ended with the node."""

import asyncio
import socket

from ..tcpforward.builtin import relaying
from ..tcpforward.road import Ending, Stream
from .peer import Peer
from .transport import PairEnd, StreamTransport


class OpenStreams:
    """Each is one transport, until the road has let go of it."""

    def __init__(self) -> None:
        self._open: set[StreamTransport] = set()
        self._relays: set[asyncio.Task[Ending]] = set()

    async def call(self, stream: Stream, peer: Peer, protocol: asyncio.BaseProtocol) -> StreamTransport:
        """The program's side of a stream to a peer. Raises OSError (no descriptor left)."""
        try:
            ours, end = _pair()
        except OSError:
            stream.abort()
            raise
        relay = relaying(stream, end)
        self._relays.add(relay)
        relay.add_done_callback(self._on_relayed)
        transport = StreamTransport(protocol, end, relay, {"peer": peer})
        try:
            await self._begin(ours, transport)
        except BaseException:
            relay.cancel()
            raise
        return transport

    async def accept(self, peer: Peer, protocol: asyncio.BaseProtocol) -> tuple[PairEnd, StreamTransport]:
        """The road's end of a stream from a peer, and the program's. Raises OSError (no descriptor left).

        To be called in the task that carries the stream (tcpforward/server.py, Serve).
        """
        ours, end = _pair()
        transport = StreamTransport(protocol, end, asyncio.current_task(), {"peer": peer})
        try:
            await self._begin(ours, transport)
        except BaseException:
            end.close(clean=False)
            raise
        return end, transport

    async def close(self, linger_s: float) -> None:
        """Resets all, but waits that long for those that the program has closed."""
        closed = {each for each in self._open if each.is_closing()}
        await self._reset(self._open - closed)
        if closed and linger_s:
            await asyncio.wait([each.released for each in closed], timeout=linger_s)
        await self._reset(self._open & closed)
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _begin(self, ours: socket.socket, transport: StreamTransport) -> None:
        await asyncio.get_running_loop().create_unix_connection(lambda: transport, sock=ours)
        self._open.add(transport)
        over = asyncio.gather(transport.lost, transport.released)
        over.add_done_callback(lambda _: self._open.discard(transport))

    async def _reset(self, transports: set[StreamTransport]) -> None:
        for each in transports:
            each.reset()
        if transports:
            await asyncio.wait([each.lost for each in transports])

    def _on_relayed(self, relay: "asyncio.Task[Ending]") -> None:
        self._relays.discard(relay)
        if not relay.cancelled():
            relay.exception()  # the program has seen the reset


def _pair() -> tuple[socket.socket, PairEnd]:
    """Raises OSError."""
    ours, theirs = socket.socketpair()
    return ours, PairEnd(theirs)
