"""Both sides of a forward in one process: two nodes in memory, real sockets on loopback at their ends.

Program (an application) -> Listener -> Caller -> road ~ road -> ForwardServer -> Program (the target)
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable
from functools import partial
from typing import Self, TypeVar

from ..tcpforward import socks
from ..tcpforward.caller import Caller
from ..tcpforward.listen import Accepted, Listener
from ..tcpforward.rules import Rules
from ..tcpforward.server import ForwardServer, Serve
from ..tcpforward.spec import Listen, Target
from ..tcpforward.tuntox.link import TuntoxLink
from ..tcpforward.tuntox.road import TuntoxRoad
from ..tox.node import Node
from ..tox.peer import Peer
from ..wire.statusmessage import Status, ToxvpnStatus, encode
from .fake_nodes import Network

T = TypeVar("T", "Program", "TargetProgram")

LOCALHOST = "127.0.0.1"
PIECE_BYTES = 1 << 20
DEADLINE_S = 10.0  # of each step: a hang ends in a traceback, not in silence
OUR_STATUS = encode(Status(toxvpn=ToxvpnStatus()))


R = TypeVar("R")


async def in_time(work: Awaitable[R]) -> R:
    return await asyncio.wait_for(work, DEADLINE_S)


class Program:
    """One end of a TCP connection, moved by a test."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock

    @classmethod
    async def connect(cls, port: int, host: str = LOCALHOST, *, buffer_bytes: int = 0) -> Self:
        """`buffer_bytes` makes the kernel's receive buffer small, so that it hides nothing."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setblocking(False)
        if buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, size_bytes: int) -> bytes:
        """Receives exactly that many bytes, fewer at the end of the stream."""
        data = bytearray()
        async with asyncio.timeout(DEADLINE_S):
            while len(data) < size_bytes:
                wanted = min(size_bytes - len(data), PIECE_BYTES)
                piece = await asyncio.get_running_loop().sock_recv(self.socket, wanted)
                if not piece:
                    break
                data += piece
        return bytes(data)

    async def receive_all(self) -> bytes:
        """Receives until the orderly end of the stream. Raises ConnectionResetError."""
        return await self.receive(1 << 62)

    async def is_reset(self) -> bool:
        """Whether the stream, in the end, is reset."""
        try:
            await self.receive_all()
        except ConnectionResetError:
            return True
        return False

    def end(self) -> None:
        """Sends no more bytes; receiving goes on."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


class TargetProgram:
    """The target of forwards; connections wait to be accepted."""

    def __init__(self, host: str = LOCALHOST, *, buffer_bytes: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if buffer_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._socket.bind((host, 0))
        self._socket.listen(1024)
        self._socket.setblocking(False)
        self.host = host
        self.port: int = self._socket.getsockname()[1]

    @property
    def target(self) -> Target:
        return Target(self.host, self.port)

    async def accept(self) -> Program:
        async with asyncio.timeout(DEADLINE_S):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._socket)
        return Program(sock)

    def close(self) -> None:
        self._socket.close()


class Programs:
    """Two nodes that know each other, a target, and applications that reach it through `caller`."""

    caller: Caller

    def __init__(self, network: Network | None = None) -> None:
        self.network = network or Network()
        self.client_node, self.server_node = self.network.pair()
        self.stack = contextlib.AsyncExitStack()
        self.target = self.keep(TargetProgram())

    @property
    def peer(self) -> Peer:
        """The server, as the client sees it."""
        return _peer_of(self.client_node, self.server_node)

    @property
    def client_peer(self) -> Peer:
        """The client, as the server sees it."""
        return _peer_of(self.server_node, self.client_node)

    def keep(self, program: T) -> T:
        self.stack.callback(program.close)
        return program

    def forward(self, target: Target | None = None) -> int:
        """Starts a listener as of `-L`; returns its port."""
        return self.listen(partial(self.caller.carry, target=target or self.target.target))

    def socks(self) -> int:
        """Starts a listener as of `-D`; returns its port."""
        return self.listen(partial(socks.carry, self.caller))

    def listen(self, accepted: Accepted) -> int:
        listener = Listener(Listen((LOCALHOST,), 0), accepted)
        listener.start()
        self.stack.push_async_callback(listener.close)
        port: int = listener.sockets[0].getsockname()[1]
        return port

    async def connect(self, port: int, *, buffer_bytes: int = 0) -> Program:
        return self.keep(await Program.connect(port, buffer_bytes=buffer_bytes))

    async def accept(self) -> Program:
        return self.keep(await self.target.accept())

    async def joined(self, port: int | None = None) -> tuple[Program, Program]:
        """An application and the target it is connected to."""
        application = await self.connect(port or self.forward())
        return application, await self.accept()


class ForwardPair(Programs):
    """A client that calls through a server over the tuntox road; a context manager, leaves nothing behind."""

    def __init__(
        self,
        rules: Rules | None = None,
        network: Network | None = None,
        serve: Serve | None = None,
        client_serve: Serve | None = None,
    ) -> None:
        super().__init__(network)
        for node in (self.client_node, self.server_node):
            node.tox.status_message = OUR_STATUS
        serve = serve or ForwardServer(lambda _: rules or Rules()).serve
        self.server_road = TuntoxRoad(self.server_node, serve)
        self.client_road = TuntoxRoad(self.client_node, client_serve)
        self.caller = Caller(self.client_node, self.peer, self.client_road)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()
        await in_time(self.client_road.close())
        await in_time(self.server_road.close())
        self.network.close()

    @property
    def links(self) -> tuple[TuntoxLink, TuntoxLink]:
        """The client's and the server's."""
        return self.client_road.link(self.peer), self.server_road.link(self.client_peer)


def _peer_of(node: Node, other: Node) -> Peer:
    peer = node.peer(other.tox.public_key)
    assert peer is not None
    return peer
