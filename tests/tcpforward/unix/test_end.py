"""Streams between Unix sockets: every byte arrives, and what breaks off does not look complete."""

import array
import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from toxvpn.tcpforward.budget import DESCRIPTORS
from toxvpn.tcpforward.listen import Listener
from toxvpn.tcpforward.relay import Relay, RelayResult
from toxvpn.tcpforward.rules import parse_rules
from toxvpn.tcpforward.spec import Target, UnixListen
from toxvpn.tcpforward.unix.end import UnixEnd
from toxvpn.tcpforward.unix.paths import WIRE_PORT
from toxvpn.testing.fast_pair import FastPair
from toxvpn.testing.forward_pair import ForwardPair, Program, in_time

BULK = random.Random(1).randbytes(3_000_001)


def pair() -> tuple[Program, UnixEnd]:
    """A program, and our end of its connection."""
    theirs, ours = socket.socketpair(socket.AF_UNIX)
    return Program(theirs), UnixEnd(ours)


class Relayed:
    """Two programs with the relay between them."""

    def __init__(self) -> None:
        self.relay = Relay()
        self.here, a = pair()
        self.there, b = pair()
        self.result: asyncio.Future[RelayResult] = self.relay.join(a, b)

    def cut(self) -> None:
        self.relay.close()


class Forwarded:
    """Two programs with both sides of a forward between them, by one of the roads."""

    def __init__(self, forward: ForwardPair | FastPair, directory: Path) -> None:
        self.forward = forward
        self.served, self.listened = directory / "served", directory / "listened"
        self.service = socket.socket(socket.AF_UNIX)
        self.service.bind(str(self.served))
        self.service.listen()
        self.service.setblocking(False)

    async def start(self) -> None:
        if isinstance(self.forward, FastPair):
            self.forward.allowed = [f"unix:{self.served}"]
            await self.forward.until_fast()
        target = Target(str(self.served), WIRE_PORT)
        listener = Listener(UnixListen(str(self.listened)), partial(self.forward.caller.carry, target=target))
        listener.start()
        self.forward.stack.push_async_callback(listener.close)
        self.here = Program(socket.socket(socket.AF_UNIX))
        self.here.socket.connect(str(self.listened))
        accepted, _ = await in_time(asyncio.get_running_loop().sock_accept(self.service))
        self.there = Program(accepted)

    def cut(self) -> None:
        if isinstance(self.forward, ForwardPair):
            for stream in list(self.forward.links[0].streams.values()):
                stream.abort()
        else:
            assert self.forward.calling.chooser.fast is not None
            self.forward.calling.chooser.fast._relay.reset(self.forward.peer, "for a test")


def forwarded(road: str, directory: Path) -> Forwarded:
    if road == "fast":
        return Forwarded(FastPair(), directory)
    return Forwarded(ForwardPair(parse_rules(f"unix:{directory}/served", "rule")), directory)


Streams = Relayed | Forwarded


@pytest_asyncio.fixture(params=["relay", "fast", "tuntox"])
async def streams(
    request: pytest.FixtureRequest, tmp_path: Path, no_descriptor_is_left: None
) -> AsyncIterator[Streams]:
    if request.param == "relay":
        made: Streams = Relayed()
        yield made
        made.cut()
    else:
        made = forwarded(request.param, tmp_path)
        async with made.forward:
            await made.start()
            yield made
        made.service.close()
    made.here.close()
    made.there.close()


async def test_every_byte_both_ways_and_an_orderly_end(streams: Streams) -> None:
    here, there = streams.here, streams.there
    sending = [asyncio.create_task(program.send(BULK)) for program in (here, there)]
    for receiving in [asyncio.create_task(program.receive(len(BULK))) for program in (here, there)]:
        assert await in_time(receiving) == BULK
    await asyncio.gather(*sending)
    here.end()
    assert await there.receive_all() == b""
    await there.send(b"more")
    there.end()
    assert await here.receive_all() == b"more"


async def test_what_is_cut_off_is_reset_for_who_has_spoken(streams: Streams) -> None:
    here, there = streams.here, streams.there
    await here.send(b"a request")
    assert await there.receive(9) == b"a request"
    await there.send(b"half of the ans")
    assert await here.receive(15) == b"half of the ans"
    streams.cut()
    assert await here.is_reset()
    assert await there.is_reset()


async def test_who_has_said_nothing_sees_an_end(streams: Streams) -> None:
    """Linux has no means for more; this test fails when that changes."""
    await streams.here.send(b"half of an uplo")
    assert await streams.there.receive(15) == b"half of an uplo"
    streams.cut()
    assert await streams.here.is_reset()
    assert await streams.there.receive_all() == b""


async def test_a_program_that_dies_resets_the_other(streams: Streams) -> None:
    here, there = streams.here, streams.there
    for program, other in ((here, there), (there, here)):
        await program.send(b"x")
        assert await other.receive(1) == b"x"
    await there.send(b"unread")
    await asyncio.sleep(0.05)
    here.close()  # with something unread: for the kernel that is a reset
    assert await there.is_reset()


async def test_an_end_waits_without_turning(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    await streams.here.send(b"x")
    assert await streams.there.receive(1) == b"x"
    reads: list[int] = []
    read_into = UnixEnd.read_into

    def counted(end: UnixEnd, buffer: memoryview) -> int:
        reads.append(1)
        return read_into(end, buffer)

    await asyncio.sleep(0.02)
    monkeypatch.setattr(UnixEnd, "read_into", counted)
    await asyncio.sleep(0.05)
    assert len(reads) < 3
    await streams.here.send(b"y")
    assert await streams.there.receive(1) == b"y"


async def test_bytes_that_descriptors_come_with_arrive_without_them(streams: Streams) -> None:
    here, there = streams.here, streams.there
    for number in range(5):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [here.socket.fileno()]))]
        here.socket.sendmsg([b"%d" % number], rights)
    assert await there.receive(5) == b"01234"


def test_a_process_that_is_killed_resets(no_descriptor_is_left: None) -> None:
    program, end = pair()
    program.socket.send(b"request")
    assert end.read_into(memoryview(bytearray(20))) == 7
    os.write(end.write_fd, b"half")
    os.close(end._sock.detach())  # as the kernel does
    assert program.socket.recv(20) == b"half"
    with pytest.raises(ConnectionResetError):
        program.socket.recv(20)
    program.close()


@pytest.mark.parametrize("clean", [True, False])
def test_the_last_byte_is_held_until_a_clean_end(clean: bool, no_descriptor_is_left: None) -> None:
    program, end = pair()
    buffer = memoryview(bytearray(20))
    for data in (b"first", b"s", b"third"):
        program.socket.send(data)
        count = end.read_into(buffer)
        assert bytes(buffer[:count]) == data
        with pytest.raises(BlockingIOError):
            end.read_into(buffer)
    program.end()
    assert end.read_into(buffer) == 0
    end.close(clean=clean)
    if clean:
        assert program.socket.recv(1) == b""
    else:
        with pytest.raises(ConnectionResetError):
            program.socket.recv(1)
    program.close()


async def test_its_epoll_is_counted_while_it_is_open() -> None:
    program, end = pair()
    before = DESCRIPTORS.taken
    assert end.wake_fd == end.wake_fd != end.read_fd
    assert DESCRIPTORS.taken == before + 1
    end.close(clean=True)
    assert DESCRIPTORS.taken == before
    program.close()
