"""A stream between a local end and a tunnel that a test plays; over a network: test_road.py."""

import asyncio
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from toxvpn.tcpforward.ends import SocketEnd, StdioEnd
from toxvpn.tcpforward.road import Ending
from toxvpn.tcpforward.tuntox.stream import READ_BYTES, TunnelStream
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import Program, in_time
from toxvpn.wire.tuntox.friend import FriendTunnels

NOISE = random.Random(1).randbytes(5 * READ_BYTES + 1)
HANDLE = 7
MakePair = Callable[[], tuple[socket.socket, socket.socket]]


class Tunnel:
    """Driver and tunnels in one, in the hands of a test: notes what the stream asks for."""

    def __init__(self) -> None:
        self.tunnels = cast(FriendTunnels, self)
        self.sent = bytearray()
        self.ended = False
        self.was_reset = False
        self.consumed_bytes = 0
        self.writable = True
        self.forgotten = False
        self.stream = TunnelStream(self, HANDLE, self.forget)

    def send(self, handle: int, data: bytes) -> bool:
        assert handle == HANDLE and not self.ended
        self.sent += data
        return self.writable

    def send_eof(self, handle: int, now: float) -> None:
        assert handle == HANDLE and not self.ended
        self.ended = True

    def consumed(self, handle: int, size_bytes: int) -> None:
        assert handle == HANDLE
        self.consumed_bytes += size_bytes

    def reset(self, handle: int, now: float) -> None:
        assert handle == HANDLE
        self.was_reset = True

    def forget(self, handle: int) -> None:
        assert handle == HANDLE
        self.forgotten = True

    def send_soon(self) -> None: ...

    def now(self) -> float:
        return 0.0


@pytest.fixture
async def tunnel(no_descriptor_is_left: None) -> Tunnel:
    return Tunnel()


@pytest.fixture
def ends(tcp_pair: MakePair) -> tuple[Program, SocketEnd]:
    """An application, and the local end that is connected to it."""
    ours, theirs = tcp_pair()
    return Program(ours), SocketEnd(theirs)


async def test_what_came_before_the_local_end_is_handed_over(
    tunnel: Tunnel, ends: tuple[Program, SocketEnd]
) -> None:
    application, local = ends
    tunnel.stream.on_data(b"early ")
    tunnel.stream.on_data(b"bird")
    tunnel.stream.on_half_closed()
    relaying = asyncio.create_task(tunnel.stream.relay(local))
    assert await application.receive_all() == b"early bird"
    assert tunnel.consumed_bytes == 10
    application.close()
    await until(lambda: tunnel.ended)
    tunnel.stream.on_closed()
    assert await in_time(relaying) is Ending.CLEAN
    assert tunnel.forgotten and not tunnel.was_reset


@pytest.mark.parametrize(("how", "ending"), [("on_closed", Ending.CLEAN), ("on_reset", Ending.RESET)])
async def test_an_end_before_the_local_end_came(
    tunnel: Tunnel, ends: tuple[Program, SocketEnd], how: str, ending: Ending
) -> None:
    application, local = ends
    tunnel.stream.on_data(b"last words")
    getattr(tunnel.stream, how)()
    assert await in_time(tunnel.stream.relay(local, b"too late")) is ending
    assert tunnel.sent == b""
    if ending is Ending.CLEAN:
        assert await application.receive_all() == b"last words"
    else:
        assert await application.is_reset()


async def test_bytes_read_before_go_first(tunnel: Tunnel, ends: tuple[Program, SocketEnd]) -> None:
    application, local = ends
    await application.send(b"second")
    application.end()
    relaying = asyncio.create_task(tunnel.stream.relay(local, b"first, "))
    await until(lambda: tunnel.ended)
    assert tunnel.sent == b"first, second"
    tunnel.stream.on_closed()
    assert await in_time(relaying) is Ending.CLEAN


async def test_it_reads_only_while_the_tunnel_takes_more(
    tunnel: Tunnel, ends: tuple[Program, SocketEnd]
) -> None:
    application, local = ends
    tunnel.writable = False
    await application.send(NOISE)
    application.end()
    relaying = asyncio.create_task(tunnel.stream.relay(local))
    received = bytearray()
    while not tunnel.ended:
        await until(lambda: tunnel.sent or tunnel.ended)
        assert len(tunnel.sent) <= READ_BYTES
        received += tunnel.sent
        tunnel.sent.clear()
        tunnel.stream.on_writable()
    assert received == NOISE
    tunnel.stream.on_closed()
    assert await in_time(relaying) is Ending.CLEAN


async def test_only_what_the_local_end_took_is_consumed(
    tunnel: Tunnel, ends: tuple[Program, SocketEnd]
) -> None:
    application, local = ends
    relaying = asyncio.create_task(tunnel.stream.relay(local))
    await asyncio.sleep(0)
    sent = 0
    while tunnel.consumed_bytes == sent:  # until the kernel's buffers are full
        tunnel.stream.on_data(NOISE)
        sent += len(NOISE)
    while sent:
        assert await application.receive(len(NOISE)) == NOISE
        sent -= len(NOISE)
    tunnel.stream.on_closed()
    assert await in_time(relaying) is Ending.CLEAN
    assert tunnel.consumed_bytes % len(NOISE) == 0


async def test_a_local_end_that_breaks_resets_the_tunnel(
    tunnel: Tunnel, ends: tuple[Program, SocketEnd]
) -> None:
    application, local = ends
    relaying = asyncio.create_task(tunnel.stream.relay(local))
    application.reset()
    assert await in_time(relaying) is Ending.RESET
    assert tunnel.was_reset and tunnel.forgotten


async def test_cancelling_resets_both(tunnel: Tunnel, ends: tuple[Program, SocketEnd]) -> None:
    application, local = ends
    relaying = asyncio.create_task(tunnel.stream.relay(local))
    await asyncio.sleep(0)
    relaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await in_time(relaying)
    assert tunnel.was_reset and tunnel.forgotten
    assert await application.is_reset()


async def test_giving_up_before_the_local_end_came(tunnel: Tunnel) -> None:
    tunnel.stream.on_data(b"x")
    tunnel.stream.abort()
    tunnel.stream.abort()
    assert tunnel.was_reset and tunnel.forgotten


class TestFilesAndPipes:
    async def test_a_regular_file_is_sent_whole(self, tunnel: Tunnel, tmp_path: Path) -> None:
        """epoll does not take regular files: as stdin one is read in turns of the loop."""
        (tmp_path / "in").write_bytes(NOISE)
        with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
            relaying = asyncio.create_task(tunnel.stream.relay(StdioEnd(source.fileno(), sink.fileno())))
            tunnel.writable = False
            await until(lambda: len(tunnel.sent) == READ_BYTES)
            tunnel.writable = True
            tunnel.stream.on_writable()
            await until(lambda: tunnel.ended)
            tunnel.stream.on_data(NOISE)
            tunnel.stream.on_closed()
            assert await in_time(relaying) is Ending.CLEAN
        assert tunnel.sent == NOISE
        assert (tmp_path / "out").read_bytes() == NOISE

    async def test_stdout_ends_before_stdin(self, tunnel: Tunnel) -> None:
        stdin, to_stdin = os.pipe()
        from_stdout, stdout = os.pipe()
        relaying = asyncio.create_task(tunnel.stream.relay(StdioEnd(stdin, stdout)))
        await asyncio.sleep(0)
        tunnel.stream.on_data(b"all there is")
        tunnel.stream.on_half_closed()
        assert await asyncio.to_thread(os.read, from_stdout, 100) == b"all there is"
        assert await asyncio.to_thread(os.read, from_stdout, 100) == b""
        os.close(to_stdin)
        await until(lambda: tunnel.ended)
        tunnel.stream.on_closed()
        assert await in_time(relaying) is Ending.CLEAN
        for fd in (stdin, stdout, from_stdout):
            os.close(fd)

    async def test_nobody_reads_stdout_any_more(self, tunnel: Tunnel) -> None:
        stdin, to_stdin = os.pipe()
        from_stdout, stdout = os.pipe()
        os.close(from_stdout)
        relaying = asyncio.create_task(tunnel.stream.relay(StdioEnd(stdin, stdout)))
        await asyncio.sleep(0)
        tunnel.stream.on_data(b"for nobody")
        assert await in_time(relaying) is Ending.RESET
        assert tunnel.was_reset
        for fd in (stdin, to_stdin, stdout):
            os.close(fd)
