"""The router between a peer and real sockets: what the peer sends comes out, and the answers come back."""

import asyncio
import contextlib
import errno
import gc
import os
import random
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from toxvpn.tcpforward import budget
from toxvpn.tcpforward.budget import DESCRIPTORS
from toxvpn.testing.netns import enter_netns, enter_new_netns, have_namespaces
from toxvpn.testing.router_pair import ROUTER, TARGET, RouterPair
from toxvpn.usernet.router import streams
from toxvpn.usernet.router.destinations import Protocol
from toxvpn.usernet.router.doorkeeper import Drop

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
BULK = random.Random(1).randbytes(1_000_003) * 8

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not have_namespaces(), reason="needs root and TUN devices"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest.fixture(scope="module")
def outside() -> Iterator[None]:
    """A network namespace for this thread, which has the targets' addresses."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    enter_new_netns()
    try:
        for arguments in ("link set lo up", *(f"addr add {target} dev lo" for target in TARGET.values())):
            subprocess.run(["ip", *arguments.split()], check=True)
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
        yield
    finally:
        enter_netns(home)
        os.close(home)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(outside: None) -> AsyncIterator[RouterPair]:
    """One for all tests: it takes half a second to start. Nothing may be left when it has ended."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    made = RouterPair()
    yield made
    await made.close()
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert DESCRIPTORS.taken == 0


@pytest.fixture
def pair(shared: RouterPair) -> RouterPair:
    """Without what the test before has forbidden and counted."""
    shared.refused.clear()
    shared.router.drops.clear()
    return shared


@pytest.fixture(params=[4, 6])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def listener(version: int, host: str = "", port: int = 0) -> socket.socket:
    made = socket.create_server((host or TARGET[version], port), family=FAMILY[version])
    made.setblocking(False)
    return made


def of_peer(
    pair: RouterPair, version: int, kind: int = socket.SOCK_STREAM, protocol: int = 0
) -> socket.socket:
    sock = pair.peer.socket(FAMILY[version], kind, protocol)
    sock.setblocking(False)
    return sock


async def connected(
    pair: RouterPair, version: int, server: socket.socket, host: str = ""
) -> tuple[socket.socket, socket.socket]:
    """The peer's end, and the target's."""
    loop = asyncio.get_running_loop()
    sock = of_peer(pair, version)
    await loop.sock_connect(sock, (host or TARGET[version], server.getsockname()[1]))
    accepted, _ = await loop.sock_accept(server)
    return sock, accepted


async def receive(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (more := await asyncio.get_running_loop().sock_recv(sock, 1 << 20)):
        data += more
    return bytes(data)


async def test_bytes_arrive_whole_both_ways_and_each_way_ends_by_itself(
    pair: RouterPair, version: int
) -> None:
    loop = asyncio.get_running_loop()
    with listener(version) as server:
        sock, accepted = await connected(pair, version, server)
        with sock, accepted:
            sending = asyncio.create_task(loop.sock_sendall(sock, BULK))
            assert await receive(accepted, len(BULK)) == BULK
            await sending
            sock.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(accepted, 1) == b""
            sending = asyncio.create_task(loop.sock_sendall(accepted, BULK))
            assert await receive(sock, len(BULK)) == BULK
            await sending
            accepted.close()
            assert await loop.sock_recv(sock, 1) == b""


async def test_a_target_that_reads_nothing_holds_the_peer_back(pair: RouterPair) -> None:
    loop = asyncio.get_running_loop()
    with listener(4) as server:
        sock, accepted = await connected(pair, 4, server)
        with sock, accepted:
            sending = asyncio.create_task(loop.sock_sendall(sock, BULK * 8))
            done, _ = await asyncio.wait([sending], timeout=1)
            assert not done, "64 MB do not fit into any buffers"
            assert await receive(accepted, len(BULK) * 8) == BULK * 8
            await sending


@pytest.mark.parametrize("by_the_target", [True, False])
async def test_a_reset_stays_a_reset(pair: RouterPair, version: int, by_the_target: bool) -> None:
    loop = asyncio.get_running_loop()
    with listener(version) as server:
        sock, accepted = await connected(pair, version, server)
        resets, other = (accepted, sock) if by_the_target else (sock, accepted)
        with other:
            resets.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            resets.close()
            with pytest.raises(ConnectionResetError):
                await loop.sock_recv(other, 1)


async def refused(pair: RouterPair, version: int, host: str, port: int) -> int | None:
    """The errno of a connection that the peer tries to make."""
    with of_peer(pair, version) as sock:
        with pytest.raises(OSError) as failure:
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        return failure.value.errno


async def test_a_target_that_refuses_does_so_before_a_connection_is_there(
    pair: RouterPair, version: int
) -> None:
    assert await refused(pair, version, TARGET[version], 9) == errno.ECONNREFUSED


async def test_a_target_that_is_not_there_is_unreachable(pair: RouterPair, version: int) -> None:
    away = {4: "10.0.0.77", 6: "fd00:10::77"}
    assert await refused(pair, version, away[version], 9) == errno.ENETUNREACH


async def test_what_the_peer_may_not_reach(pair: RouterPair, version: int) -> None:
    with listener(version) as server:
        port = server.getsockname()[1]
        pair.refused.add((Protocol.TCP, TARGET[version], port))
        forbidden = {4: errno.EHOSTUNREACH, 6: errno.EACCES}
        assert await refused(pair, version, TARGET[version], port) == forbidden[version]
        with pytest.raises(BlockingIOError):
            server.accept()
    assert pair.router.drops[Drop.NOT_ALLOWED] == 1


async def test_this_machine_by_its_overlay_address_is_localhost(pair: RouterPair, version: int) -> None:
    loopback = {4: "127.0.0.1", 6: "::1"}
    with listener(version, loopback[version]) as server:
        sock, accepted = await connected(pair, version, server, ROUTER[version])
        with sock, accepted:
            assert accepted.getpeername()[0] == loopback[version]
        pair.refused.add((Protocol.TCP, ROUTER[version], server.getsockname()[1]))
        forbidden = {4: errno.EHOSTUNREACH, 6: errno.EACCES}
        assert await refused(pair, version, ROUTER[version], server.getsockname()[1]) == forbidden[version]


async def test_a_service_on_one_loopback_address_is_reached_by_the_other_version(pair: RouterPair) -> None:
    with listener(4, "127.0.0.1") as server:
        sock, accepted = await connected(pair, 6, server, ROUTER[6])
        sock.close()
        accepted.close()


async def test_a_program_inside_is_reached_itself(pair: RouterPair, version: int) -> None:
    loop = asyncio.get_running_loop()
    with pair.at_router.socket(FAMILY[version], socket.SOCK_STREAM) as server:
        server.bind(("", 0))
        server.listen()
        server.setblocking(False)
        sock, accepted = await connected(pair, version, server, ROUTER[version])
        with sock, accepted:
            await loop.sock_sendall(sock, b"hello")
            assert await receive(accepted, 5) == b"hello"


async def from_port_4000(pair: RouterPair, version: int, server: socket.socket) -> socket.socket | None:
    """A new connection; None while the one before has not quite ended."""
    sock = of_peer(pair, version)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", 4000))
    try:
        await asyncio.get_running_loop().sock_connect(sock, (TARGET[version], server.getsockname()[1]))
    except OSError:
        sock.close()
        return None
    return sock


async def test_the_same_port_again_right_after_a_close(pair: RouterPair, version: int) -> None:
    """The connection before is in TIME-WAIT inside, where the target had closed it."""
    loop = asyncio.get_running_loop()
    with listener(version) as server:
        for _ in range(2):
            async with asyncio.timeout(5):
                while (sock := await from_port_4000(pair, version, server)) is None:
                    await asyncio.sleep(0.01)
            accepted, _ = await loop.sock_accept(server)
            accepted.close()
            assert await loop.sock_recv(sock, 1) == b""
            sock.close()


async def udp(pair: RouterPair, version: int, host: str) -> tuple[socket.socket, socket.socket]:
    """A peer's socket, connected to a target that echoes what it gets, and the target."""
    target = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
    target.bind((host, 0))
    target.setblocking(False)
    loop = asyncio.get_running_loop()

    def echo() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                target.sendto(*target.recvfrom(65535))

    loop.add_reader(target, echo)
    return of_peer(pair, version, socket.SOCK_DGRAM), target


async def ask(sock: socket.socket, data: bytes) -> bytes:
    async with asyncio.timeout(5):
        await asyncio.get_running_loop().sock_sendall(sock, data)
        return await asyncio.get_running_loop().sock_recv(sock, 65535)


async def test_datagrams_and_their_answers(pair: RouterPair, version: int) -> None:
    sock, target = await udp(pair, version, TARGET[version])
    with sock, target:
        sock.connect((TARGET[version], target.getsockname()[1]))  # so that no other source is taken
        for data in (b"", b"one", b"two", bytes(1300), bytes(5000)):
            assert await ask(sock, data) == data
        asyncio.get_running_loop().remove_reader(target)


async def test_flows_of_one_target_do_not_mix(pair: RouterPair, version: int) -> None:
    sock, target = await udp(pair, version, TARGET[version])
    others = [of_peer(pair, version, socket.SOCK_DGRAM) for _ in range(5)]
    with sock, target:
        for number, other in enumerate([sock, *others] * 2):
            if number < 6:
                other.connect((TARGET[version], target.getsockname()[1]))
            assert await ask(other, bytes([number])) == bytes([number])
        for other in others:
            other.close()
        asyncio.get_running_loop().remove_reader(target)


async def test_many_datagrams_at_once(pair: RouterPair, version: int) -> None:
    """With UDP_SEGMENT, which leaves a namespace as one packet."""
    loop = asyncio.get_running_loop()
    with (
        socket.socket(FAMILY[version], socket.SOCK_DGRAM) as target,
        of_peer(pair, version, socket.SOCK_DGRAM) as sock,
    ):
        target.bind((TARGET[version], 0))
        target.setblocking(False)
        sock.connect(target.getsockname()[:2])
        for _ in range(2):
            data = random.Random(2).randbytes(1000 * 20 + 7)
            sock.sendmsg([data], [(socket.IPPROTO_UDP, 103, (1000).to_bytes(2, "little"))])
            async with asyncio.timeout(5):
                parts = [await loop.sock_recv(target, 65535) for _ in range(21)]
            assert b"".join(parts) == data


async def test_a_datagram_to_a_closed_port_is_answered(pair: RouterPair, version: int) -> None:
    with of_peer(pair, version, socket.SOCK_DGRAM) as sock:
        sock.connect((TARGET[version], 9))
        with pytest.raises(ConnectionRefusedError):
            await ask(sock, b"anybody?")


async def test_a_datagram_that_the_peer_may_not_send(pair: RouterPair, version: int) -> None:
    pair.refused.add((Protocol.UDP, TARGET[version], 53))
    with of_peer(pair, version, socket.SOCK_DGRAM) as sock:
        sock.connect((TARGET[version], 53))
        with pytest.raises(OSError):
            await ask(sock, b"name?")
    assert pair.router.drops[Drop.NOT_ALLOWED] >= 1


async def test_a_name_server_of_this_machine(pair: RouterPair, version: int) -> None:
    sock, target = await udp(pair, version, {4: "127.0.0.1", 6: "::1"}[version])
    with sock, target:
        sock.connect((ROUTER[version], target.getsockname()[1]))
        assert await ask(sock, b"name?") == b"name?"
        asyncio.get_running_loop().remove_reader(target)


async def ping(pair: RouterPair, version: int, *, wait_s: float = 2) -> int:
    """The exit status: 0 for an answer, 1 for none."""
    inside = ["nsenter", "-t", str(pair.peer.owner), "-n"]
    command = [*inside, "ping", "-c", "1", "-W", str(wait_s), TARGET[version]]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    return await process.wait()


async def test_a_ping_is_answered_by_the_target(pair: RouterPair, version: int) -> None:
    assert await ping(pair, version) == 0


async def test_a_ping_of_nobody_is_not(pair: RouterPair, version: int) -> None:
    pair.refused.add((Protocol.ICMP, TARGET[version], 0))
    assert await ping(pair, version, wait_s=0.3) == 1


async def test_pings_that_this_user_may_not_send(pair: RouterPair, caplog: pytest.LogCaptureFixture) -> None:
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("1 0")
    with caplog.at_level("INFO", "toxvpn.usernet"):
        assert await ping(pair, 4, wait_s=0.3) == 1
    assert [record.message for record in caplog.records if "ping_group_range" in record.message]


async def test_streams_beyond_the_bound_are_refused_at_once(
    pair: RouterPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    with listener(4) as server:
        sock, accepted = await connected(pair, 4, server)
        with sock, accepted:
            assert await refused(pair, 4, TARGET[4], server.getsockname()[1]) == errno.ECONNREFUSED
    assert pair.router.drops[Drop.TOO_MANY] == 1


async def test_without_descriptors_nothing_new_is_carried(
    pair: RouterPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener(4) as server, of_peer(pair, 4, socket.SOCK_DGRAM) as sock:
        monkeypatch.setattr(budget, "SHARE_OF_STREAMS", 0.0)
        sock.sendto(b"lost", (TARGET[4], 1234))
        assert await refused(pair, 4, TARGET[4], server.getsockname()[1]) == errno.ECONNREFUSED
    assert pair.router.drops[Drop.TOO_MANY] == 2


async def test_a_friend_has_a_bounded_number_of_datagram_flows(
    pair: RouterPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest idle one makes room, and comes back as a new one."""
    table = pair.router._datagrams._table
    monkeypatch.setattr(table, "most_of_one", 2)
    pair.router.forget(pair.friend)
    sock, target = await udp(pair, 4, TARGET[4])
    others = [of_peer(pair, 4, socket.SOCK_DGRAM) for _ in range(3)]
    with sock, target:
        for other in [*others, others[0]]:
            other.connect((TARGET[4], target.getsockname()[1]))
            assert await ask(other, b"hello") == b"hello"
            assert len(table) <= 2
        for other in others:
            other.close()
        asyncio.get_running_loop().remove_reader(target)


@pytest.mark.parametrize("settled", [True, False])
async def test_a_peer_that_is_gone_leaves_nothing(pair: RouterPair, settled: bool) -> None:
    """Neither a stream that runs nor one whose target alone is connected."""
    loop = asyncio.get_running_loop()
    with listener(4) as server:
        sock, accepted = await connected(pair, 4, server)
        with sock, accepted:
            if settled:
                await loop.sock_sendall(accepted, b"hello")
                assert await receive(sock, 5) == b"hello"
            pair.router.forget(pair.friend)
            for end in (sock, accepted):
                with pytest.raises(ConnectionResetError):
                    await loop.sock_recv(end, 1)
