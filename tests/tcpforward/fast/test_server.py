import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv6Address

import pytest
import pytest_asyncio

from toxvpn._native.results import Connection
from toxvpn.tcpforward.ends import End, SocketEnd
from toxvpn.tcpforward.fast import server as server_module
from toxvpn.tcpforward.fast.server import FastServer
from toxvpn.tcpforward.relay import Relay
from toxvpn.tcpforward.target import TargetRefusedError
from toxvpn.testing.fake_nodes import until
from toxvpn.tox.peer import Peer
from toxvpn.wire.socks5 import GREETING, ReplyCode, encode_connect, encode_refusal, encode_reply

pytestmark = pytest.mark.real

SocketPair = tuple[socket.socket, socket.socket]
LOCALHOST = IPv6Address("::1")
CHOSEN = b"\x05\x00"


class Serving:
    """A listener on ::1, where only the peer is known; `target` is the far side of what it connects to."""

    def __init__(self, make_pair: Callable[[], SocketPair]) -> None:
        self.relay = Relay()
        self.peers = {LOCALHOST: Peer(1, bytes(32))}
        self.asked: list[tuple[Peer, str, int]] = []
        self.refuses: ReplyCode | None = None
        self.closed = False
        self.may_connect = asyncio.Event()
        self.may_connect.set()
        self.target, self._near = make_pair()
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        listener.setblocking(False)
        self.address = listener.getsockname()[:2]
        self.server = FastServer(listener, self.peers.get, self._serve, self.relay)

    async def _serve(self, peer: Peer, host: str, port: int) -> End:
        self.asked.append((peer, host, port))
        await self.may_connect.wait()
        if self.refuses is not None:
            raise TargetRefusedError(self.refuses, "no")
        return SocketEnd(self._near)

    async def call(self, data: bytes) -> socket.socket:
        sock = socket.socket(socket.AF_INET6)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        if data:
            await asyncio.get_running_loop().sock_sendall(sock, data)
        return sock

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            await self.server.close()
            self.relay.close()


@pytest_asyncio.fixture
async def serving(tcp_pair: Callable[[], SocketPair]) -> AsyncIterator[Serving]:
    made = Serving(tcp_pair)
    yield made
    await made.close()


async def receive(sock: socket.socket) -> bytes:
    """All until EOF."""
    data = b""
    async with asyncio.timeout(20):
        while more := await asyncio.get_running_loop().sock_recv(sock, 4096):
            data += more
    return data


async def test_a_peer_is_served(serving: Serving) -> None:
    with await serving.call(encode_connect("localhost", 22) + b"hello") as caller:
        caller.shutdown(socket.SHUT_WR)
        assert await receive(serving.target) == b"hello"
        await asyncio.get_running_loop().sock_sendall(serving.target, b"world")
        serving.target.close()
        assert await receive(caller) == CHOSEN + encode_reply(ReplyCode.SUCCEEDED) + b"world"
    assert serving.asked == [(serving.peers[LOCALHOST], "localhost", 22)]


async def test_who_is_no_peer_is_reset(serving: Serving) -> None:
    serving.peers.clear()
    with await serving.call(b"") as caller, pytest.raises(ConnectionResetError):
        await receive(caller)
    assert not serving.asked


async def test_a_refusal_is_told(serving: Serving) -> None:
    serving.refuses = ReplyCode.NOT_ALLOWED
    with await serving.call(encode_connect("localhost", 22)) as caller:
        assert await receive(caller) == CHOSEN + encode_reply(ReplyCode.NOT_ALLOWED)


async def answer(caller: socket.socket, size: int) -> bytes:
    async with asyncio.timeout(20):
        data = b""
        while len(data) < size:
            data += await asyncio.get_running_loop().sock_recv(caller, size - len(data))
    return data


REQUEST = encode_connect("localhost", 22)


async def test_a_peer_has_so_many_streams_and_no_more(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "MAX_STREAMS", 2)
    serving.may_connect.clear()
    silent = await serving.call(b"")
    with await serving.call(REQUEST) as caller:
        await answer(caller, len(CHOSEN))
        for _ in range(30):
            with await serving.call(REQUEST) as refused:
                assert await receive(refused) == encode_refusal(ReplyCode.GENERAL_FAILURE)
        assert len(serving.asked) == 1
        assert caplog.messages == ["peer 00000000: refused: it already has 2 streams, as many as it may have"]
        silent.close()
        await until(lambda: serving.server._streams.total() == 1)
        serving.may_connect.set()
        assert await answer(caller, 10) == encode_reply(ReplyCode.SUCCEEDED)
    serving.target.close()
    await until(lambda: not serving.server._streams)
    with await serving.call(REQUEST) as again:
        assert await answer(again, len(CHOSEN)) == CHOSEN


async def test_without_room_a_caller_is_told_so_and_not_that_the_road_is_broken(
    serving: Serving, leave_descriptors: Callable[[int], None]
) -> None:
    leave_descriptors(1)
    with await serving.call(REQUEST) as caller:
        assert await receive(caller) == encode_refusal(ReplyCode.GENERAL_FAILURE)
    assert not serving.asked


async def test_who_has_been_away_longest_makes_room(
    serving: Serving, leave_descriptors: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    peer = serving.peers[LOCALHOST]
    peer.connection = Connection.UDP
    with await serving.call(REQUEST) as absent:
        await answer(absent, 10 + len(CHOSEN))
        leave_descriptors(10)
        serving.may_connect.clear()
        with await serving.call(REQUEST), await serving.call(REQUEST):
            await until(lambda: len(serving.asked) == 3)
            assert not caplog.messages, "it is there"
            peer.connection = Connection.NONE
            with await serving.call(REQUEST):
                await until(lambda: "away longest, its streams make room for others: 1" in caplog.text)
            with pytest.raises(ConnectionResetError):
                await receive(absent)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (GREETING + b"\x05\x03\x00", CHOSEN + encode_reply(ReplyCode.COMMAND_NOT_SUPPORTED)),
    ],
)
async def test_what_is_no_request_is_answered_and_closed(
    data: bytes, answer: bytes, serving: Serving
) -> None:
    with await serving.call(data) as caller:
        assert await receive(caller) == answer
    assert not serving.asked


async def test_who_says_nothing_is_reset(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_S", 0.01)
    with await serving.call(GREETING) as caller, pytest.raises(ConnectionResetError):
        await receive(caller)


async def test_the_first_answer_does_not_wait_for_the_target(serving: Serving) -> None:
    """It is how a caller knows that the road is good."""
    serving.may_connect.clear()
    with await serving.call(encode_connect("localhost", 22)) as caller:
        async with asyncio.timeout(20):
            assert await asyncio.get_running_loop().sock_recv(caller, 4096) == CHOSEN


async def test_a_caller_gone_before_the_target_was_there_resets_it(serving: Serving) -> None:
    serving.may_connect.clear()
    caller = await serving.call(encode_connect("localhost", 22))
    async with asyncio.timeout(20):
        await asyncio.get_running_loop().sock_recv(caller, 4096)
    SocketEnd(caller).close(clean=False)
    serving.may_connect.set()
    with pytest.raises(ConnectionResetError):
        await receive(serving.target)


async def test_closing_resets_what_runs(serving: Serving) -> None:
    with await serving.call(encode_connect("localhost", 22)) as caller:
        async with asyncio.timeout(20):
            await asyncio.get_running_loop().sock_recv(caller, 2)
            await asyncio.get_running_loop().sock_recv(caller, 10)
        await serving.close()
        for sock in (caller, serving.target):
            with pytest.raises(ConnectionResetError):
                await receive(sock)
