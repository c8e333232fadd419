import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from toxvpn.tcpforward.budget import DESCRIPTORS
from toxvpn.testing.two_stacks import TwoStacks

SocketPair = tuple[socket.socket, socket.socket]


@pytest.fixture
def tcp_pair(no_descriptor_is_left: None) -> Iterator[Callable[[], SocketPair]]:
    """Makes connected, non-blocking TCP sockets over loopback, and closes them afterwards."""
    made: list[socket.socket] = []

    def make() -> SocketPair:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.extend((client, server))
        return client, server

    yield make
    for sock in made:
        sock.close()


@pytest.fixture
def leave_descriptors() -> Iterator[Callable[[int], None]]:
    """Limits streams to so many descriptors of the process."""
    taken = 0

    def leave(descriptors: int) -> None:
        nonlocal taken
        more = DESCRIPTORS.free - descriptors
        assert DESCRIPTORS.take(more)
        taken += more

    yield leave
    DESCRIPTORS.give(taken)


@pytest_asyncio.fixture
async def stacks(no_descriptor_is_left: None) -> AsyncIterator[TwoStacks]:
    made = await TwoStacks.start()
    yield made
    await made.close()
