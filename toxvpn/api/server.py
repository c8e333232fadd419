"""What peers may open at a node: the ports of the program's handlers, and nothing of the machine."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Self
from weakref import WeakSet

from ..errors import UsageError
from ..tcpforward.budget import DESCRIPTORS, TOO_FEW_DESCRIPTORS
from ..tcpforward.builtin import SIGN, Builtins
from ..tcpforward.ends import End
from ..tcpforward.server import Serve
from ..tcpforward.target import TargetRefusedError
from ..tox.peer import Peer as ToxPeer
from ..wire.ports import LAST_PORT
from ..wire.socks5 import ReplyCode
from .peer import Peer
from .streams import OpenStreams
from .transport import PairEnd

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]
"""As asyncio.start_server takes it; `writer.get_extra_info("peer")` is the Peer that calls."""

HERE = ("localhost", "127.0.0.1", "::1")
"""What a peer calls this machine: a handler's port is on no other."""
NOT_FOR_IT = "it may not open streams here: it came neither by the secret nor by an invite, nor is it allowed"


class Server:
    """Made by `Node.start_server`; peers reach it as localhost:`port`. An async context manager."""

    def __init__(self, handler: Handler, port: int, limit: int, forget: Callable[["Server"], None]) -> None:
        self.port = port
        """The port that it was made for."""
        self._handler = handler
        self._limit = limit
        self._forget = forget
        self._running: set[asyncio.Future[None]] = set()

    def close(self) -> None:
        """Takes no more streams; those that are open go on. Idempotent."""
        self._forget(self)

    async def wait_closed(self) -> None:
        """Returns when no handler runs any more."""
        while self._running:
            await asyncio.wait(self._running)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()
        await self.wait_closed()

    def _protocol(self) -> asyncio.Protocol:
        """That of one stream; it starts the handler."""
        reader = asyncio.StreamReader(self._limit)
        return asyncio.StreamReaderProtocol(reader, self._start)

    async def _stop(self) -> None:
        """Cancels the handlers."""
        self.close()
        for running in self._running:
            running.cancel()
        await self.wait_closed()

    def _start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made = self._handler(reader, writer)
        if not inspect.isawaitable(made):
            return
        running: asyncio.Future[None] = asyncio.ensure_future(made)
        self._running.add(running)
        running.add_done_callback(lambda _: self._ended(running, writer))

    def _ended(self, running: "asyncio.Future[None]", writer: asyncio.StreamWriter) -> None:
        """A handler that has failed has not said all it had to say: its stream is reset.

        If it failed because the peer was gone, nobody is told: peers could fill the log.
        """
        self._running.discard(running)
        failure = None if running.cancelled() else running.exception()
        if running.cancelled() or failure is not None:
            writer.transport.abort()
        if failure is not None and not isinstance(failure, ConnectionError | asyncio.IncompleteReadError):
            asyncio.get_running_loop().call_exception_handler(
                {"message": "unhandled exception in a handler of toxvpn", "exception": failure}
            )


class Servers:
    """Those of one node. `admit` gives the program's view of a peer that may open streams here, or None."""

    def __init__(self, streams: OpenStreams) -> None:
        self.admit: Callable[[bytes], Peer | None] = lambda public_key: None
        self._streams = streams
        self._builtins: Builtins
        self._open: dict[int, Server] = {}
        self._all: WeakSet[Server] = WeakSet()

    def beside(self, builtins: Builtins) -> Serve:
        """Serves the handlers and those."""
        self._builtins = builtins
        return self.serve

    def add(self, handler: Handler, port: int, limit: int) -> Server:
        """Raises UsageError: the port has a handler, or is not a port."""
        if not 0 < port <= LAST_PORT:
            raise UsageError(f"port {port} is out of range: 1 to {LAST_PORT}")
        if port in self._open:
            raise UsageError(f"port {port} has a handler already: close that server, or choose another port")
        server = self._open[port] = Server(handler, port, limit, self._forget)
        self._all.add(server)
        return server

    async def close(self) -> None:
        """Cancels the handlers that run."""
        for server in list(self._all):
            await server._stop()

    async def serve(self, peer: ToxPeer, host_untrusted: str, port: int) -> End:
        """Raises TargetRefusedError."""
        if host_untrusted.startswith(SIGN):
            return await self._builtins.connect(peer, host_untrusted, port)
        caller = self.admit(peer.public_key)
        if caller is None:
            raise TargetRefusedError(ReplyCode.NOT_ALLOWED, NOT_FOR_IT)
        if host_untrusted.lower() not in HERE:
            text = f"{host_untrusted!r}: only handlers can be reached here, as localhost"
            raise TargetRefusedError(ReplyCode.NOT_ALLOWED, text)
        server = self._open.get(port)
        if server is None:
            raise TargetRefusedError(ReplyCode.CONNECTION_REFUSED, f"port {port} has no handler")
        return await self._accept(server, caller)

    async def _accept(self, server: Server, caller: Peer) -> PairEnd:
        """Raises TargetRefusedError. The program's end takes a descriptor more than a target would."""
        if not DESCRIPTORS.take(1):
            raise TargetRefusedError(ReplyCode.GENERAL_FAILURE, TOO_FEW_DESCRIPTORS)
        try:
            end, transport = await self._streams.accept(caller, server._protocol())
        except BaseException as failure:
            DESCRIPTORS.give(1)
            if isinstance(failure, OSError):
                raise TargetRefusedError(ReplyCode.GENERAL_FAILURE, TOO_FEW_DESCRIPTORS) from None
            raise
        transport.released.add_done_callback(lambda _: DESCRIPTORS.give(1))
        return end

    def _forget(self, server: Server) -> None:
        if self._open.get(server.port) is server:
            del self._open[server.port]
