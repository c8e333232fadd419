"""How an end of a stream says that it ended: the other one is played by hand."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from bench.soak.content import Content
from bench.soak.streams import Carried, End, Ending, Listener, Plan, carry

PLAN = Plan(b"12345678", up_bytes=300_000, down_bytes=200_000, portion_bytes=10_000, pause_s=0.0)
DOWN = Content((PLAN.token, "down")).take(PLAN.down_bytes)
Pair = tuple[socket.socket, socket.socket]
LOCALHOST = "127.0.0.1"


@pytest.fixture
def ends() -> Iterator[Pair]:
    """Two ends of a TCP connection; the second one blocks."""
    with (
        socket.create_server((LOCALHOST, 0)) as server,
        socket.create_connection(server.getsockname()) as near,
        server.accept()[0] as far,
    ):
        near.setblocking(False)
        yield near, far


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def finish(sock: socket.socket) -> None:
    """Without a reset: that is what closing with bytes unread is."""
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(1 << 20):
        pass


@pytest.mark.parametrize(
    ("data", "end", "expected"),
    [
        (DOWN, finish, Ending.WHOLE),
        (DOWN[:-1], finish, Ending.CUT),
        (DOWN[:1000], reset, Ending.RESET),
        (DOWN, reset, Ending.RESET),
        (DOWN + b"x", reset, Ending.WRONG),
        (DOWN[:700] + b"xyz" + DOWN[703:], reset, Ending.WRONG),
        (DOWN[:700] + DOWN[701:], reset, Ending.WRONG),
    ],
    ids=["whole", "cut", "reset early", "reset", "more", "changed", "one is missing"],
)
async def test_an_end(
    ends: Pair, data: bytes, end: Callable[[socket.socket], None], expected: Ending
) -> None:
    near, far = ends
    it = End(near, PLAN, called=False)
    running = asyncio.create_task(it.run())
    await asyncio.to_thread(far.sendall, data)
    async with asyncio.timeout(20):
        while it.received_bytes < len(data) and not running.done():
            await asyncio.sleep(0.001)
        ending, _ = await asyncio.gather(running, asyncio.to_thread(end, far))
    assert ending is expected


async def test_both_ends() -> None:
    server = socket.create_server((LOCALHOST, 0))
    listener = Listener(server)
    try:
        with socket.create_connection(server.getsockname()) as near:
            near.setblocking(False)
            async with asyncio.timeout(20):
                assert await carry(near, listener, PLAN) == Carried(Ending.WHOLE, Ending.WHOLE, 500_000)
    finally:
        await listener.close()
