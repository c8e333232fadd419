import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from toxvpn.testing.two_stacks import TwoStacks

SocketPair = tuple[socket.socket, socket.socket]


def open_descriptors() -> dict[str, str]:
    folder = Path("/proc/self/fd")
    return {fd.name: str(fd.readlink()) for fd in folder.iterdir() if fd.is_symlink()}


@pytest.fixture
def no_descriptor_is_left() -> Iterator[None]:
    """Ask for it before anything that opens descriptors: pytest closes the last one first."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    after = open_descriptors()
    assert len(after) == len(before), {fd: what for fd, what in after.items() if before.get(fd) != what}


@pytest.fixture
def tcp_pair(no_descriptor_is_left: None) -> Iterator[Callable[[], SocketPair]]:
    """Makes connected, non-blocking TCP sockets over loopback; what is left of them is closed afterwards."""
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


@pytest_asyncio.fixture
async def stacks(no_descriptor_is_left: None) -> AsyncIterator[TwoStacks]:
    made = await TwoStacks.start()
    yield made
    await made.close()
