"""A stream to a built-in target that another process carries: the connection itself changes hands."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from ipaddress import IPv6Address
from typing import cast

import pytest
import pytest_asyncio

from toxvpn.tcpforward.builtin import Builtin, Builtins, detach
from toxvpn.tcpforward.ends import End, SocketEnd
from toxvpn.tcpforward.fast.road import FastStream
from toxvpn.tcpforward.fast.server import FastServer
from toxvpn.tcpforward.relay import Relay
from toxvpn.testing.forward_pair import in_time
from toxvpn.tox.peer import Peer
from toxvpn.wire.socks5 import ReplyCode, encode_connect, encode_reply

CHOSEN = b"\x05\x00"
REPLY = CHOSEN + encode_reply(ReplyCode.SUCCEEDED)
SocketPair = tuple[socket.socket, socket.socket]


class Serving:
    """A server on ::1 whose built-in target keeps a copy of what it takes."""

    def __init__(self) -> None:
        self.taken: list[socket.socket] = []
        self.carried = False
        self.fails = False
        self.builtins = Builtins()
        self.builtins.offer("@raw", Builtin(1, lambda _: True, "", self._carry, self._take))
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        listener.setblocking(False)
        self.address = listener.getsockname()[:2]
        self.relay = Relay()
        peers = {IPv6Address("::1"): Peer(1, bytes(32))}
        self.server = FastServer(listener, peers.get, self._serve, self.relay)

    async def _serve(self, peer: Peer, host: str, port: int) -> End:
        return await self.builtins.connect(peer, host, port)

    async def _carry(self, _: Peer, sock: socket.socket) -> None:
        self.carried = True

    def _take(self, _: Peer, sock: socket.socket) -> None:
        if self.fails:
            raise EOFError("nobody is there")
        self.taken.append(sock.dup())

    async def call(self, data: bytes = b"") -> socket.socket:
        sock = socket.socket(socket.AF_INET6)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        await asyncio.get_running_loop().sock_sendall(sock, encode_connect("@raw", 1) + data)
        return sock

    async def close(self) -> None:
        for sock in self.taken:
            sock.close()
        await self.server.close()
        await self.builtins.close()
        self.relay.close()


@pytest_asyncio.fixture
async def serving() -> AsyncIterator[Serving]:
    made = Serving()
    yield made
    await made.close()


async def test_the_target_gets_the_connection_itself(serving: Serving) -> None:
    loop = asyncio.get_running_loop()
    with await serving.call() as sock:
        assert await in_time(loop.sock_recv(sock, 100)) == REPLY
        await loop.sock_sendall(sock, b"hello")
        (taken,) = serving.taken
        assert taken.getpeername()[:2] == sock.getsockname()[:2]
        assert await in_time(loop.sock_recv(taken, 100)) == b"hello"
        taken.close()
        assert await in_time(loop.sock_recv(sock, 100)) == b"", "an orderly end"
    assert not serving.carried


async def test_nothing_else_begins_to_serve_while_the_answer_is_sent(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    send = loop.sock_sendall

    async def slowly(sock: socket.socket, data: bytes) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        await send(sock, data)

    monkeypatch.setattr(loop, "sock_sendall", slowly)
    with await serving.call() as sock:
        answer = b""
        while len(answer) < len(REPLY):
            answer += await in_time(loop.sock_recv(sock, 100))
    assert serving.taken and not serving.carried


async def test_when_nobody_takes_it_the_peer_sees_a_reset(serving: Serving) -> None:
    serving.fails = True
    loop = asyncio.get_running_loop()
    with await serving.call() as sock, pytest.raises(ConnectionResetError):
        while await in_time(loop.sock_recv(sock, 100)):
            pass


async def test_bytes_that_come_before_the_answer_are_not_lost_silently(serving: Serving) -> None:
    loop = asyncio.get_running_loop()
    with await serving.call(b"too early") as sock, pytest.raises(ConnectionResetError):
        while await in_time(loop.sock_recv(sock, 100)):
            pass
    assert not serving.taken and not serving.carried


async def test_the_calling_side_lets_go_of_its_socket(tcp_pair: Callable[[], SocketPair]) -> None:
    near, far = tcp_pair()
    relay = Relay()
    make = partial(FastStream, relay, cast(Peer, None))
    assert detach(make(SocketEnd(near), b"bytes that have come")) is None
    own = detach(make(SocketEnd(near), b""))
    assert own is near
    own.close()
    with far:
        assert await in_time(asyncio.get_running_loop().sock_recv(far, 100)) == b"", "an orderly end"
    relay.close()
