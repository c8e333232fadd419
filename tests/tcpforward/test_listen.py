"""Local listeners: they lose no connection, and leave none behind."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from toxvpn.tcpforward import listen
from toxvpn.tcpforward.listen import Listener
from toxvpn.tcpforward.spec import Listen
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import Program, in_time

HERE = "127.0.0.1"


class Accepted:
    """What a listener hands its connections to: keeps them until told."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.may_end = asyncio.Event()

    async def __call__(self, local: socket.socket) -> None:
        self.sockets.append(local)
        with contextlib.closing(local):
            await self.may_end.wait()


@pytest.fixture
async def accepted(no_descriptor_is_left: None) -> AsyncIterator[Accepted]:
    yield Accepted()


@pytest.fixture
async def listener(accepted: Accepted) -> AsyncIterator[Listener]:
    made = Listener(Listen((HERE,), 0), accepted)
    made.start()
    yield made
    await in_time(made.close())
    assert asyncio.all_tasks() == {asyncio.current_task()}


def port_of(listener: Listener) -> int:
    port: int = listener.sockets[0].getsockname()[1]
    return port


async def test_connections_are_ready_to_use(listener: Listener, accepted: Accepted) -> None:
    program = await Program.connect(port_of(listener))
    await until(lambda: accepted.sockets)
    [local] = accepted.sockets
    assert not local.getblocking()
    assert local.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    program.close()


async def test_none_of_many_at_once_is_lost(listener: Listener, accepted: Accepted) -> None:
    programs = await asyncio.gather(*(Program.connect(port_of(listener)) for _ in range(200)))
    await until(lambda: len(accepted.sockets) == 200)
    for program in programs:
        program.close()


async def test_closing_ends_running_connections_and_those_just_made(
    listener: Listener, accepted: Accepted
) -> None:
    port = port_of(listener)
    running = await Program.connect(port)
    await until(lambda: accepted.sockets)
    just_made = await Program.connect(port)
    await in_time(listener.close())
    for program in (running, just_made):
        with contextlib.suppress(ConnectionResetError):
            assert await program.receive_all() == b""
        program.close()
    with pytest.raises(ConnectionRefusedError):
        await Program.connect(port)


async def test_a_connection_that_did_not_begin_is_closed_too(listener: Listener, accepted: Accepted) -> None:
    with socket.create_connection((HERE, port_of(listener)), 10) as program:
        listener._accept(listener.sockets[0])
        await listener.close()
        assert not accepted.sockets
        assert program.recv(1) == b""


async def test_without_room_connections_are_reset_at_once_and_it_is_said_once(
    listener: Listener,
    accepted: Accepted,
    leave_descriptors: Callable[[int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    leave_descriptors(4)
    programs = [Program(socket.create_connection((HERE, port_of(listener)))) for _ in range(6)]
    for program in programs[2:]:
        with pytest.raises(ConnectionResetError):
            await program.receive_all()
    assert len(accepted.sockets) == 2
    [line] = caplog.messages
    assert line.startswith("connections are refused: ") and "ulimit -n" in line
    accepted.may_end.set()
    await until(lambda: listener.connections == 0)
    accepted.may_end.clear()
    programs.append(await Program.connect(port_of(listener)))
    await until(lambda: len(accepted.sockets) == 3)
    for program in programs:
        program.close()


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_out_of_descriptors_connections_wait(
    listener: Listener,
    accepted: Accepted,
    few_descriptors: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(listen, "ACCEPT_PAUSE_S", 0.01)
    program = socket.socket()
    lowest_free = program.fileno() + 1
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    program.connect((HERE, port_of(listener)))
    await until(lambda: "Too many open files" in caplog.text)
    paused = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() > paused + 3 * listen.ACCEPT_PAUSE_S)
    assert caplog.text.count("Too many open files") == 1
    assert not accepted.sockets
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    await until(lambda: accepted.sockets)
    program.close()


async def test_closing_while_out_of_descriptors(
    listener: Listener, accepted: Accepted, few_descriptors: None, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as program:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (program.fileno() + 1, limits[1]))
        program.connect((HERE, port_of(listener)))
        await until(lambda: "Too many open files" in caplog.text)
        [bound] = listener.sockets
        await in_time(listener.close())
        listener._accept_again(bound)
