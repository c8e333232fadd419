import asyncio
import errno
import fcntl
import os
import random
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from toxvpn.tcpforward.ends import UNSENT_BYTES, SocketEnd, StdioEnd
from toxvpn.tcpforward.relay import MAX_CHUNK_BYTES, TURN_BYTES, TURN_STEPS, Relay, RelayResult
from toxvpn.tcpforward.road import Ending
from toxvpn.testing.netns import fork

SIOCOUTQNSD = 0x894B  # linux/sockios.h
SocketPair = tuple[socket.socket, socket.socket]
MakePair = Callable[[], SocketPair]
BULK = random.Random(1).randbytes(1_000_003) * 8


@pytest_asyncio.fixture
async def relay(no_descriptor_is_left: None) -> AsyncIterator[Relay]:
    made = Relay()
    yield made
    made.close()
    assert not made._readers
    assert not made._writers


class Joined:
    """A client and a server with a relay between them."""

    def __init__(self, relay: Relay, tcp_pair: MakePair, owner: object = None) -> None:
        self.client, a = tcp_pair()
        self.server, b = tcp_pair()
        self.ends = SocketEnd(a), SocketEnd(b)
        self.result = relay.join(*self.ends, owner=owner)


@pytest.fixture
def joined(relay: Relay, tcp_pair: MakePair) -> Joined:
    return Joined(relay, tcp_pair)


async def receive(sock: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, fewer at EOF."""
    data = bytearray()
    while len(data) < size:
        more = await asyncio.get_running_loop().sock_recv(sock, min(size - len(data), 1 << 20))
        if not more:
            break
        data += more
    return bytes(data)


async def send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def fill(sock: socket.socket) -> int:
    """Send until nothing more is taken, with the relay at work."""
    sent = idle = 0
    while idle < 100:
        try:
            sent += sock.send(bytes(1 << 16))
            idle = 0
        except BlockingIOError:
            idle += 1
        await asyncio.sleep(0)
    return sent


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def expect_reset(sock: socket.socket) -> bytes:
    """What came before it. Fails on an orderly end."""
    data = bytearray()
    with pytest.raises(ConnectionResetError):
        while more := await asyncio.get_running_loop().sock_recv(sock, 1 << 20):
            data += more
    return bytes(data)


async def within_deadline(result: asyncio.Future[RelayResult]) -> RelayResult:
    async with asyncio.timeout(20):
        return await result


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    """Nothing here takes seconds; a hang ends in a traceback instead of silence."""
    signal.alarm(60)
    yield
    signal.alarm(0)  # the tests that follow may take longer


async def test_a_failing_pair_does_not_stop_the_others(
    relay: Relay, tcp_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, a), (_, b), (_, c), (server, d) = tcp_pair(), tcp_pair(), tcp_pair(), tcp_pair()
    first = relay.join(SocketEnd(a), SocketEnd(b))
    second = relay.join(SocketEnd(c), SocketEnd(d), b"read before")

    def fail(pump: object) -> int:
        raise RuntimeError("of the test")

    with monkeypatch.context() as meanwhile, pytest.raises(RuntimeError):
        meanwhile.setattr(relay, "_step", fail)
        relay._planned_turn()
    assert relay._next_turn is not None
    assert await asyncio.wait_for(receive(server, 11), 5) == b"read before"
    first.cancel()
    second.cancel()


async def test_bytes_go_both_ways_and_are_counted(joined: Joined) -> None:
    await send(joined.client, b"question")
    assert await receive(joined.server, 8) == b"question"
    await send(joined.server, b"answer")
    assert await receive(joined.client, 6) == b"answer"
    joined.client.close()
    assert await receive(joined.server, 1) == b""
    joined.server.close()
    assert await within_deadline(joined.result) == RelayResult(Ending.CLEAN, "", 8, 6)


async def test_bytes_read_before_go_first(relay: Relay, tcp_pair: MakePair) -> None:
    (client, a), (server, b) = tcp_pair(), tcp_pair()
    await send(client, b"-question")
    result = relay.join(SocketEnd(a), SocketEnd(b), b"early", b"reply")
    assert await receive(server, 14) == b"early-question"
    assert await receive(client, 5) == b"reply"
    client.close()
    server.close()
    assert await within_deadline(result) == RelayResult(Ending.CLEAN, "", 14, 5)


async def test_one_direction_ends_and_the_other_goes_on(joined: Joined) -> None:
    await send(joined.client, b"question")
    joined.client.shutdown(socket.SHUT_WR)
    assert await receive(joined.server, 100) == b"question"
    assert not joined.result.done()
    await send(joined.server, b"a long answer")
    joined.server.shutdown(socket.SHUT_WR)
    assert await receive(joined.client, 100) == b"a long answer"
    assert await within_deadline(joined.result) == RelayResult(Ending.CLEAN, "", 8, 13)


async def test_both_directions_at_full_speed_lose_nothing(joined: Joined) -> None:
    async def one(source: socket.socket, sink: socket.socket) -> bytes:
        _, data = await asyncio.gather(send(source, BULK), receive(sink, len(BULK)))
        return data

    up, down = await asyncio.gather(one(joined.client, joined.server), one(joined.server, joined.client))
    assert up == BULK
    assert down == BULK
    joined.client.close()
    joined.server.close()
    assert await within_deadline(joined.result) == RelayResult(Ending.CLEAN, "", len(BULK), len(BULK))


async def test_all_that_was_sent_before_the_end_arrives(joined: Joined) -> None:
    sent = await fill(joined.client)
    joined.client.shutdown(socket.SHUT_WR)
    joined.server.shutdown(socket.SHUT_WR)
    assert len(await receive(joined.server, sent + 1)) == sent
    assert (await within_deadline(joined.result)).ending == Ending.CLEAN


async def test_what_the_kernel_still_has_to_send_outlives_a_clean_end(joined: Joined) -> None:
    joined.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    joined.server.shutdown(socket.SHUT_WR)
    data = BULK[:300_000]
    await send(joined.client, data)
    joined.client.close()
    assert (await within_deadline(joined.result)).ending == Ending.CLEAN
    assert await receive(joined.server, len(data) + 1) == data


async def test_a_reset_is_a_reset_at_the_other_end(joined: Joined) -> None:
    await send(joined.client, b"half of it")
    assert await receive(joined.server, 10) == b"half of it"
    reset(joined.client)
    await expect_reset(joined.server)
    result = await within_deadline(joined.result)
    assert result == RelayResult(Ending.RESET, os.strerror(errno.ECONNRESET), 10, 0)


async def test_a_reset_reaches_an_end_that_does_not_read(joined: Joined) -> None:
    await fill(joined.client)
    reset(joined.client)
    assert (await within_deadline(joined.result)).ending == Ending.RESET
    await expect_reset(joined.server)


async def test_a_reset_from_an_end_that_has_finished(joined: Joined) -> None:
    joined.client.shutdown(socket.SHUT_WR)
    assert await receive(joined.server, 1) == b""
    reset(joined.client)
    assert (await within_deadline(joined.result)).ending == Ending.RESET
    assert joined.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE


async def test_an_end_that_goes_away_with_bytes_unread_resets(joined: Joined) -> None:
    await send(joined.client, b"never read")
    readable = asyncio.Event()
    asyncio.get_running_loop().add_reader(joined.server, readable.set)
    await readable.wait()
    asyncio.get_running_loop().remove_reader(joined.server)
    joined.server.close()
    await expect_reset(joined.client)
    assert (await within_deadline(joined.result)).ending == Ending.RESET


async def test_writing_to_an_end_that_has_closed_resets(joined: Joined) -> None:
    joined.server.close()
    assert await receive(joined.client, 1) == b""
    await send(joined.client, b"too late")
    assert (await within_deadline(joined.result)).ending == Ending.RESET
    assert joined.client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE


async def test_cancelling_resets_both(joined: Joined) -> None:
    await send(joined.client, b"x")
    assert await receive(joined.server, 1) == b"x"

    async def wait() -> None:
        await joined.result

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await expect_reset(joined.client)
    await expect_reset(joined.server)


async def test_the_pairs_of_an_owner_are_reset_and_no_others(relay: Relay, tcp_pair: MakePair) -> None:
    owners = object(), object()
    pairs = [Joined(relay, tcp_pair, owner) for owner in (*owners, *owners, None)]
    assert relay.reset(owners[0], "gone") == 2
    for joined in (pairs[0], pairs[2]):
        assert (await within_deadline(joined.result)).reason == "gone"
        await expect_reset(joined.client)
        await expect_reset(joined.server)
    for joined in (pairs[1], pairs[3], pairs[4]):
        await send(joined.client, b"still there")
        assert await receive(joined.server, 11) == b"still there"
    assert relay.reset(object(), "gone") == 0


async def test_closing_the_relay_resets_all(relay: Relay, tcp_pair: MakePair) -> None:
    pairs = [Joined(relay, tcp_pair) for _ in range(3)]
    await asyncio.sleep(0)
    relay.close()
    for joined in pairs:
        await expect_reset(joined.client)
        await expect_reset(joined.server)
        assert joined.result.result().ending == Ending.RESET


async def test_what_an_end_does_not_take_is_held_within_bounds(relay: Relay, tcp_pair: MakePair) -> None:
    joined = Joined(relay, tcp_pair)
    await fill(joined.client)
    pump = relay._readers[joined.ends[0].read_fd]
    assert 0 < len(pump.held) <= MAX_CHUNK_BYTES
    unsent = int.from_bytes(fcntl.ioctl(joined.ends[1].write_fd, SIOCOUTQNSD, bytes(4)), sys.byteorder)
    assert 0 < unsent <= UNSENT_BYTES + MAX_CHUNK_BYTES, "the kernel is not made to hold megabytes"
    joined.result.cancel()
    await expect_reset(joined.server)


async def test_hundreds_of_pairs(relay: Relay, tcp_pair: MakePair) -> None:
    pairs = [Joined(relay, tcp_pair) for _ in range(200)]

    async def talk(joined: Joined, number: int) -> RelayResult:
        message = b"%d" % number * (number + 1)
        for _ in range(3):
            await send(joined.client, message)
            assert await receive(joined.server, len(message)) == message
            await send(joined.server, message[::-1])
            assert await receive(joined.client, len(message)) == message[::-1]
        joined.client.close()
        joined.server.close()
        return await within_deadline(joined.result)

    results = await asyncio.gather(*(talk(joined, number) for number, joined in enumerate(pairs)))
    assert {result.ending for result in results} == {Ending.CLEAN}


async def test_a_flood_does_not_keep_others_waiting(relay: Relay, tcp_pair: MakePair) -> None:
    source, sink = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
    nothing, nowhere = os.pipe()
    flood = relay.join(StdioEnd(source, nowhere), StdioEnd(nothing, sink))
    joined = Joined(relay, tcp_pair)
    for _ in range(10):
        await send(joined.client, b"x")
        assert await receive(joined.server, 1) == b"x"
    assert not flood.done()
    flood.cancel()
    await asyncio.sleep(0)
    for fd in (source, sink, nothing, nowhere):
        os.close(fd)


async def test_a_turn_moves_a_bounded_number_of_bytes(relay: Relay) -> None:
    source, sink = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
    nothing, nowhere = os.pipe()
    end = StdioEnd(source, nowhere)
    flood = relay.join(end, StdioEnd(nothing, sink))
    pump = relay._readers[end.read_fd]
    for _ in range(10):
        before = pump.moved_bytes
        await asyncio.sleep(0)
        assert pump.moved_bytes - before < TURN_BYTES + MAX_CHUNK_BYTES
    flood.cancel()
    await asyncio.sleep(0)
    for fd in (source, sink, nothing, nowhere):
        os.close(fd)


async def test_a_turn_serves_a_bounded_number_of_pairs(relay: Relay, tcp_pair: MakePair) -> None:
    pairs = [Joined(relay, tcp_pair) for _ in range(TURN_STEPS + 10)]
    pumps = [relay._readers[joined.ends[0].read_fd] for joined in pairs]
    for _ in range(10):
        await asyncio.sleep(0)
    for joined in pairs:
        joined.client.send(b"x")
    relay._on_events()
    assert sum(pump.moved_bytes for pump in pumps) == TURN_STEPS
    for joined in pairs:
        assert await receive(joined.server, 1) == b"x"


async def test_a_killed_process_looks_like_a_reset(tcp_pair: MakePair) -> None:
    client, a = tcp_pair()
    server, b = tcp_pair()
    child = fork()
    if child == 0:
        client.close()
        server.close()
        asyncio.run(_relay_for_ever(a, b))
        os._exit(1)
    a.close()
    b.close()
    try:
        await send(client, b"x")
        assert await receive(server, 1) == b"x"
    finally:
        os.kill(child, signal.SIGKILL)
        await asyncio.to_thread(os.waitpid, child, 0)
    await expect_reset(client)
    await expect_reset(server)


async def _relay_for_ever(a: socket.socket, b: socket.socket) -> None:
    await Relay().join(SocketEnd(a), SocketEnd(b))


async def test_standard_streams_that_are_pipes(relay: Relay, tcp_pair: MakePair) -> None:
    stdin, typed = os.pipe()
    printed, stdout = os.pipe()
    far, near = tcp_pair()
    result = relay.join(StdioEnd(stdin, stdout), SocketEnd(near))
    os.write(typed, b"hello")
    os.close(typed)
    assert await receive(far, 100) == b"hello"
    await send(far, b"world")
    far.close()
    assert await within_deadline(result) == RelayResult(Ending.CLEAN, "", 5, 5)
    assert os.read(printed, 100) == b"world"
    assert os.read(printed, 100) == b"", "the reader of stdout sees its end"
    for fd in (stdin, printed, stdout):
        os.close(fd)


async def test_standard_streams_that_are_files(relay: Relay, tcp_pair: MakePair, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(BULK)
    stdin = os.open(tmp_path / "in", os.O_RDONLY)
    stdout = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    far, near = tcp_pair()
    result = relay.join(StdioEnd(stdin, stdout), SocketEnd(near))
    assert await receive(far, len(BULK) + 1) == BULK
    await send(far, BULK)
    far.close()
    assert (await within_deadline(result)).ending == Ending.CLEAN
    assert (tmp_path / "out").read_bytes() == BULK
    os.close(stdin)
    os.close(stdout)


async def test_standard_streams_that_are_a_terminal(relay: Relay, tcp_pair: MakePair) -> None:
    keyboard, terminal = os.openpty()
    far, near = tcp_pair()
    result = relay.join(StdioEnd(terminal, terminal), SocketEnd(near))
    os.write(keyboard, b"one\ntwo\n\x04")
    assert await receive(far, 100) == b"one\ntwo\n"
    assert os.get_blocking(terminal), "the shell's own descriptor is left alone"
    far.close()
    assert (await within_deadline(result)).ending == Ending.CLEAN
    os.close(keyboard)
    os.close(terminal)


async def test_standard_streams_that_are_one_socket(relay: Relay, tcp_pair: MakePair) -> None:
    stdio, user = socket.socketpair()
    far, near = tcp_pair()
    user.setblocking(False)
    stdout = os.dup(stdio.fileno())
    result = relay.join(StdioEnd(stdio.fileno(), stdout), SocketEnd(near))
    await send(user, b"hello")
    user.shutdown(socket.SHUT_WR)
    assert await receive(far, 100) == b"hello"
    await send(far, b"world")
    far.close()
    assert await receive(user, 100) == b"world"
    assert (await within_deadline(result)).ending == Ending.CLEAN
    assert os.get_blocking(stdio.fileno())
    os.close(stdout)
    stdio.close()
    user.close()


async def test_nobody_reading_stdout_any_more_resets(relay: Relay, tcp_pair: MakePair) -> None:
    stdin, typed = os.pipe()
    printed, stdout = os.pipe()
    far, near = tcp_pair()
    result = relay.join(StdioEnd(stdin, stdout), SocketEnd(near))
    os.close(printed)
    await expect_reset(far)
    assert await within_deadline(result) == RelayResult(Ending.RESET, os.strerror(errno.EPIPE), 0, 0)
    for fd in (stdin, typed, stdout):
        os.close(fd)


async def test_a_descriptor_number_used_again_is_not_mixed_up(relay: Relay, tcp_pair: MakePair) -> None:
    """stdout is closed at the end of its direction; the next stream may get its number."""
    stdin, typed = os.pipe()
    printed, stdout = os.pipe()
    far, near = tcp_pair()
    stdio = StdioEnd(stdin, stdout)
    number = stdio.write_fd
    result = relay.join(stdio, SocketEnd(near))
    far.shutdown(socket.SHUT_WR)
    assert await asyncio.to_thread(os.read, printed, 1) == b""

    (client, a), (server, b) = tcp_pair(), tcp_pair()
    again = fcntl.fcntl(a, fcntl.F_DUPFD, number)
    assert again == number
    a.close()
    other = relay.join(SocketEnd(socket.socket(fileno=again)), SocketEnd(b))
    os.close(typed)
    assert (await within_deadline(result)).ending == Ending.CLEAN
    await asyncio.sleep(0)
    await send(client, b"x")
    assert await receive(server, 1) == b"x"
    client.close()
    server.close()
    assert (await within_deadline(other)).ending == Ending.CLEAN
    for fd in (stdin, printed, stdout):
        os.close(fd)
