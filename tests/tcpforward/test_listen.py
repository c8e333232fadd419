"""Local listeners: where they bind, what they say when they cannot, and that they lose no connection."""

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from toxvpn.errors import NoPermissionError, ToxvpnError
from toxvpn.tcpforward import bind, listen
from toxvpn.tcpforward.listen import Listener
from toxvpn.tcpforward.spec import LOOPBACK, Listen
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import Program

HERE = "127.0.0.1"


@pytest.fixture
def free_port() -> int:
    """Of both loopback addresses, by all likelihood."""
    with socket.create_server((HERE, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


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
    await made.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def port_of(listener: Listener) -> int:
    port: int = listener.sockets[0].getsockname()[1]
    return port


async def test_without_an_address_both_loopbacks_listen(accepted: Accepted, free_port: int) -> None:
    listener = Listener(Listen(LOOPBACK, free_port), accepted)
    assert [bound.getsockname()[:2] for bound in listener.sockets] == [(HERE, free_port), ("::1", free_port)]
    listener.start()
    programs = [await Program.connect(free_port, host) for host in LOOPBACK]
    await until(lambda: len(accepted.sockets) == 2)
    await listener.close()
    for program in programs:
        program.close()


async def test_a_given_address_is_the_only_one(accepted: Accepted, free_port: int) -> None:
    listener = Listener(Listen(("127.0.0.2",), free_port), accepted)
    listener.start()
    with pytest.raises(ConnectionRefusedError):
        await Program.connect(free_port)
    (await Program.connect(free_port, "127.0.0.2")).close()
    await listener.close()


async def test_all_interfaces_do_not_collide(accepted: Accepted, free_port: int) -> None:
    """0.0.0.0 and :: on the same port: the IPv6 socket must not take IPv4 as well."""
    await Listener(Listen(("0.0.0.0", "::"), free_port), accepted).close()


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
    await listener.close()
    for program in (running, just_made):
        with contextlib.suppress(ConnectionResetError):
            assert await program.rest() == b""
        program.close()
    with pytest.raises(ConnectionRefusedError):
        await Program.connect(port)


class TestWhatCannotBe:
    async def test_a_port_in_use(self, accepted: Accepted, listener: Listener) -> None:
        port = port_of(listener)
        with pytest.raises(ToxvpnError, match=rf"cannot listen on 127\.0\.0\.1:{port}: the port is in use"):
            Listener(Listen((HERE,), port), accepted)

    async def test_a_port_in_use_on_one_loopback_alone(self, accepted: Accepted, free_port: int) -> None:
        in_use = pytest.raises(ToxvpnError, match=rf"\[::1\]:{free_port}: the port is in use")
        with socket.create_server(("::1", free_port), family=socket.AF_INET6), in_use:
            Listener(Listen(LOOPBACK, free_port), accepted)
        await Listener(Listen(LOOPBACK, free_port), accepted).close()

    @pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "nosuch.invalid"])
    async def test_somebody_elses_address(self, accepted: Accepted, host: str, free_port: int) -> None:
        with pytest.raises(ToxvpnError, match=r"cannot listen on .*address of this machine") as error:
            Listener(Listen((host,), free_port), accepted)
        assert "\n" not in str(error.value)

    async def test_no_ipv6_here(self, accepted: Accepted, monkeypatch: pytest.MonkeyPatch) -> None:
        real = bind._bind_one

        def bind_one(host: str, port: int) -> socket.socket:
            if ":" in host:
                raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
            return real(host, port)

        monkeypatch.setattr(bind, "_bind_one", bind_one)
        listener = Listener(Listen(LOOPBACK, 0), accepted)
        assert len(listener.sockets) == 1
        await listener.close()

    async def test_neither_loopback(self, accepted: Accepted, monkeypatch: pytest.MonkeyPatch) -> None:
        def bind_one(host: str, port: int) -> socket.socket:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

        monkeypatch.setattr(bind, "_bind_one", bind_one)
        with pytest.raises(ToxvpnError, match=r"127\.0\.0\.1:5: Cannot assign"):
            Listener(Listen(LOOPBACK, 5), accepted)

    async def test_a_port_for_root_alone(self, accepted: Accepted, monkeypatch: pytest.MonkeyPatch) -> None:
        def bind_one(host: str, port: int) -> socket.socket:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(bind, "_bind_one", bind_one)
        with pytest.raises(NoPermissionError, match="below 1024 need root"):
            Listener(Listen(LOOPBACK, 80), accepted)


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
        await listener.close()
        listener._resume(bound)
