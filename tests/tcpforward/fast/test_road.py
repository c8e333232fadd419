"""Both sides of the fast road at work together; what only concerns the serving one: test_server.py."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from toxvpn._native.results import Connection
from toxvpn.errors import PeerOfflineError
from toxvpn.tcpforward.ends import SocketEnd
from toxvpn.tcpforward.fast import road as road_module
from toxvpn.tcpforward.fast import server as server_module
from toxvpn.tcpforward.fast import stack
from toxvpn.tcpforward.fast.road import FastRoad, FastStream, RoadBrokenError
from toxvpn.tcpforward.fast.server import FastServer
from toxvpn.tcpforward.fast.stack import FORWARD_PORT, OutOfDescriptorsError
from toxvpn.tcpforward.relay import Relay
from toxvpn.tcpforward.road import Ending, StreamOpenError
from toxvpn.tcpforward.rules import parse_rules
from toxvpn.tcpforward.server import ForwardServer
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.two_stacks import TwoStacks
from toxvpn.tox.peer import Peer
from toxvpn.wire.socks5 import ReplyCode, encode_reply

pytestmark = pytest.mark.real

SocketPair = tuple[socket.socket, socket.socket]
BULK = random.Random(1).randbytes(1_000_003) * 8


class Fast:
    """A calls B, which serves all of its 127.0.0.1."""

    def __init__(self, stacks: TwoStacks, listener: socket.socket) -> None:
        self.relay = Relay()
        self.stacks = stacks
        self.road = FastRoad(stacks.a, self.relay)
        serve = ForwardServer(lambda _: parse_rules("127.0.0.1:*", "rules")).serve
        self.server = FastServer(listener, {stacks.a.address: stacks.peer_a}.get, serve, self.relay)

    async def open(self, target: socket.socket) -> FastStream:
        return await self.road.open(self.stacks.peer_b, *target.getsockname())

    async def close(self) -> None:
        await self.server.close()
        self.relay.close()


@pytest_asyncio.fixture
async def fast(stacks: TwoStacks) -> AsyncIterator[Fast]:
    made = Fast(stacks, await stacks.b.listen(FORWARD_PORT))
    yield made
    await made.close()


@pytest.fixture
def target(no_descriptor_is_left: None) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


async def accept(listener: socket.socket) -> socket.socket:
    async with asyncio.timeout(20):
        accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
    return accepted


async def receive(sock: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, fewer at EOF."""
    data = bytearray()
    async with asyncio.timeout(20):
        while len(data) < size:
            more = await asyncio.get_running_loop().sock_recv(sock, min(size - len(data), 1 << 20))
            if not more:
                break
            data += more
    return bytes(data)


async def send(sock: socket.socket, data: bytes) -> None:
    async with asyncio.timeout(20):
        await asyncio.get_running_loop().sock_sendall(sock, data)


async def ending(task: "asyncio.Task[Ending]") -> Ending:
    async with asyncio.timeout(20):
        return await task


async def test_a_stream_from_end_to_end(
    fast: Fast, target: socket.socket, tcp_pair: Callable[[], SocketPair]
) -> None:
    client, local = tcp_pair()
    stream = await fast.open(target)
    with await accept(target) as server:
        relayed = asyncio.create_task(stream.relay(SocketEnd(local), b"early "))
        await send(client, b"bird")
        assert await receive(server, 10) == b"early bird"
        _, data = await asyncio.gather(send(server, BULK), receive(client, len(BULK)))
        assert data == BULK
        client.shutdown(socket.SHUT_WR)
        assert await receive(server, 1) == b""
        await send(server, b"last word")
    assert await receive(client, 100) == b"last word"
    assert await ending(relayed) is Ending.CLEAN


async def test_a_server_that_speaks_first(
    fast: Fast, target: socket.socket, tcp_pair: Callable[[], SocketPair]
) -> None:
    client, local = tcp_pair()
    opening = asyncio.create_task(fast.open(target))
    with await accept(target) as server:
        await send(server, b"220 ready")
        relayed = asyncio.create_task((await opening).relay(SocketEnd(local)))
        assert await receive(client, 9) == b"220 ready"
        client.close()
    assert await ending(relayed) is Ending.CLEAN


async def test_resets_go_all_the_way(
    fast: Fast, target: socket.socket, tcp_pair: Callable[[], SocketPair]
) -> None:
    for near_first in (True, False):
        client, local = tcp_pair()
        stream = await fast.open(target)
        server = await accept(target)
        relayed = asyncio.create_task(stream.relay(SocketEnd(local)))
        await send(client, b"x")
        assert await receive(server, 1) == b"x"
        first, second = (client, server) if near_first else (server, client)
        SocketEnd(first).close(clean=False)
        with second, pytest.raises(ConnectionResetError):
            await receive(second, 1)
        assert await ending(relayed) is Ending.RESET


async def test_an_aborted_stream_resets_the_target(fast: Fast, target: socket.socket) -> None:
    stream = await fast.open(target)
    with await accept(target) as server:
        stream.abort()
        with pytest.raises(ConnectionResetError):
            await receive(server, 1)


async def test_refusals_come_back_with_their_reason(fast: Fast, target: socket.socket) -> None:
    closed = target.getsockname()
    target.close()
    for host, port, code in (
        (*closed, ReplyCode.CONNECTION_REFUSED),
        ("127.0.0.2", 1, ReplyCode.NOT_ALLOWED),
        ("no such name", 1, ReplyCode.HOST_UNREACHABLE),
        ("x" * 300, 1, ReplyCode.HOST_UNREACHABLE),
    ):
        with pytest.raises(StreamOpenError) as failure:
            await fast.road.open(fast.stacks.peer_b, host, port)
        assert failure.value.code == code


async def test_a_peer_that_has_enough_of_us_is_no_broken_road(
    fast: Fast, target: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_STREAMS", 1)
    stream = await fast.open(target)
    for _ in range(20):
        with pytest.raises(StreamOpenError) as refused:
            await fast.open(target)
        assert refused.value.code is ReplyCode.GENERAL_FAILURE
    stream.abort()
    (await accept(target)).close()
    await until(lambda: not fast.server._streams)
    (await fast.open(target)).abort()
    (await accept(target)).close()


async def test_without_a_descriptor_for_it_a_stream_fails_and_the_road_is_good(
    fast: Fast, target: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none_left() -> socket.socket:
        raise OutOfDescriptorsError("Too many open files")

    monkeypatch.setattr(fast.stacks.a, "socket", none_left)
    with pytest.raises(StreamOpenError, match="Too many open files"):
        await fast.open(target)


async def test_a_probe_that_arrives(fast: Fast) -> None:
    await fast.road.probe(fast.stacks.peer_b)


async def test_nobody_answers(fast: Fast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(road_module, "FIRST_ANSWER_S", 0.05)
    fast.stacks.cable.plugged = False
    with pytest.raises(RoadBrokenError, match="no answer"):
        await fast.road.probe(fast.stacks.peer_b)
    with pytest.raises(RoadBrokenError, match="no answer"):
        await fast.road.open(fast.stacks.peer_b, "127.0.0.1", 1)
    with pytest.raises(PeerOfflineError):
        await fast.road.open(Peer(0, fast.stacks.peer_b.public_key, Connection.NONE), "127.0.0.1", 1)


async def test_a_peer_that_does_not_serve(stacks: TwoStacks) -> None:
    relay = Relay()
    with pytest.raises(RoadBrokenError, match="refused"):
        await FastRoad(stacks.a, relay).probe(stacks.peer_b)
    relay.close()


@asynccontextmanager
async def peer_that_says(stacks: TwoStacks, *words: bytes) -> AsyncIterator[FastRoad]:
    """Instead of serving, it says this after the request and hangs up; without words it says nothing."""
    relay = Relay()

    async def play() -> None:
        with await accept(listener) as caller:
            await receive(caller, 3)
            for word in words:
                await send(caller, word)
            if not words:
                await asyncio.get_running_loop().create_future()
            await asyncio.get_running_loop().sock_recv(caller, 100)

    with await stacks.b.listen(FORWARD_PORT) as listener:
        task = asyncio.create_task(play())
        yield FastRoad(stacks.a, relay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    relay.close()


async def test_a_peer_that_speaks_something_else(stacks: TwoStacks) -> None:
    async with peer_that_says(stacks, b"HTTP/1.1 400 Bad Request") as road:
        with pytest.raises(RoadBrokenError, match="not SOCKS5"):
            await road.open(stacks.peer_b, "127.0.0.1", 1)


async def test_a_peer_that_hangs_up_at_once(stacks: TwoStacks) -> None:
    async with peer_that_says(stacks, b"") as road:
        with pytest.raises(RoadBrokenError, match="closed the connection"):
            await road.open(stacks.peer_b, "127.0.0.1", 1)


async def test_a_kernel_that_asks_for_a_cookie_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no data is in the first SYN; 1 is Linux's own setting of tcp_fastopen."""
    patch = "from toxvpn.tcpforward.fast import helper as h; h.SYSCTLS['net/ipv4/tcp_fastopen'] = '1'"
    monkeypatch.setattr(stack, "HELPER", f"{patch}; {stack.HELPER}")
    stacks = await TwoStacks.start()
    fast = Fast(stacks, await stacks.b.listen(FORWARD_PORT))
    await fast.road.probe(stacks.peer_b)
    await fast.close()
    await stacks.close()


async def test_a_peer_that_hangs_up_over_the_target(stacks: TwoStacks) -> None:
    async with peer_that_says(stacks, b"\x05\x00") as road:
        with pytest.raises(StreamOpenError) as failure:
            await road.open(stacks.peer_b, "127.0.0.1", 1)
        assert failure.value.code == ReplyCode.GENERAL_FAILURE


async def test_a_peer_that_finds_no_end(stacks: TwoStacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(road_module, "OPEN_S", 0.05)

    async def first_answer(*_: object) -> bytes:
        return b"\x05\x00"

    monkeypatch.setattr(road_module, "_call", first_answer)
    relay = Relay()
    with await stacks.b.listen(FORWARD_PORT) as listener:
        road = FastRoad(stacks.a, relay)
        sock = await stacks.a.socket()
        await asyncio.get_running_loop().sock_connect(sock, listener.getsockname()[:2])
        stacks.a._spare[socket.SOCK_STREAM].appendleft(sock)
        with pytest.raises(StreamOpenError) as failure:
            await road.open(stacks.peer_b, "127.0.0.1", 1)
        assert failure.value.code == ReplyCode.TIMED_OUT
    relay.close()


async def test_what_comes_right_after_the_reply_is_not_lost(
    stacks: TwoStacks, tcp_pair: Callable[[], SocketPair]
) -> None:
    client, local = tcp_pair()
    words = b"\x05\x00" + encode_reply(ReplyCode.SUCCEEDED) + b"220 ready"
    async with peer_that_says(stacks, words) as road:
        stream = await road.open(stacks.peer_b, "127.0.0.1", 1)
        relayed = asyncio.create_task(stream.relay(SocketEnd(local)))
        assert await receive(client, 9) == b"220 ready"
        client.close()
        await ending(relayed)
