"""A datagram tells whether it was changed."""

import asyncio
import socket
from random import Random

import pytest

from bench.soak.datagrams import Echoed, datagram, echo, exchange, is_right


def test_any_change_shows() -> None:
    random = Random(1)
    for _ in range(50):
        data = datagram(random)
        assert is_right(data)
        at = random.randrange(len(data))
        assert not is_right(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert not is_right(data[:at]) and not is_right(data + b"x")


@pytest.mark.parametrize("is_changed", [False, True])
async def test_an_exchange(is_changed: bool) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for sock in (near, far):
        sock.setblocking(False)

    async def answer() -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await loop.sock_recv(far, 1 << 16)
            await loop.sock_sendall(far, data[:-1] if is_changed else data)

    answering = asyncio.create_task(answer())
    assert await exchange(near, Random(1), 5, 0.0) == Echoed(5, 5, 5 if is_changed else 0)
    answering.cancel()
    far.close()


async def test_the_echo() -> None:
    far, near = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    far.bind(("127.0.0.1", 0))
    near.connect(far.getsockname())
    for sock in (near, far):
        sock.setblocking(False)
    echoing = asyncio.create_task(echo(far))
    assert await exchange(near, Random(1), 3, 0.01) == Echoed(3, 3, 0)
    echoing.cancel()
