"""Pipe mode: how it ends, which is what the program's exit code is made of."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from toxvpn.errors import LinkError
from toxvpn.tcpforward import caller, pipe
from toxvpn.tcpforward.ends import End, StdioEnd
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import ForwardPair, in_time

NOISE = os.urandom(300_000)


@pytest.fixture
async def pair(no_descriptor_is_left: None) -> AsyncIterator[ForwardPair]:
    async with ForwardPair() as made:
        yield made


def read_to_the_end(fd: int) -> bytes:
    data = b""
    while piece := os.read(fd, 1 << 16):
        data += piece
    return data


class Pipe:
    """A run of pipe mode, its stdin and stdout in the hands of a test."""

    def __init__(self, pair: ForwardPair, monkeypatch: pytest.MonkeyPatch, stdin: Path | None) -> None:
        theirs, self._to_stdin = os.pipe()
        self._from_stdout, stdout = os.pipe()
        self._open = [theirs, self._to_stdin, self._from_stdout, stdout]
        if stdin is not None:
            theirs = os.open(stdin, os.O_RDONLY)
            self._open.append(theirs)

        class Ours(StdioEnd):
            def __init__(self) -> None:
                super().__init__(theirs, stdout)

        monkeypatch.setattr(pipe, "StdioEnd", Ours)
        self.running = asyncio.create_task(pipe.run(pair.caller, pair.target.target))

    def write(self, data: bytes) -> None:
        os.write(self._to_stdin, data)

    async def read_all(self) -> bytes:
        return await asyncio.to_thread(read_to_the_end, self._from_stdout)

    def end_stdin(self) -> None:
        self._close(self._to_stdin)

    def close_stdout(self) -> None:
        self._close(self._from_stdout)

    def close(self) -> None:
        for fd in list(self._open):
            self._close(fd)

    def _close(self, fd: int) -> None:
        self._open.remove(fd)
        os.close(fd)


@pytest.fixture
def stdin() -> Path | None:
    return None


@pytest.fixture
async def pipes(
    pair: ForwardPair, monkeypatch: pytest.MonkeyPatch, stdin: Path | None
) -> AsyncIterator[Pipe]:
    made = Pipe(pair, monkeypatch, stdin)
    yield made
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)
    made.close()


async def test_it_ends_well_when_both_directions_have(pair: ForwardPair, pipes: Pipe) -> None:
    target = await pair.accept()
    pipes.write(b"question")
    pipes.end_stdin()
    assert await target.receive_all() == b"question"
    await target.send(b"answer")
    target.close()
    assert await pipes.read_all() == b"answer"
    await in_time(pipes.running)


async def test_the_target_may_end_first(pair: ForwardPair, pipes: Pipe) -> None:
    target = await pair.accept()
    await target.send(b"greeting")
    target.end()
    assert await pipes.read_all() == b"greeting"
    pipes.write(b"and on it goes")
    assert await target.receive(14) == b"and on it goes"
    pipes.end_stdin()
    assert await target.receive_all() == b""
    await in_time(pipes.running)


class TestStdinFromAFile:
    @pytest.fixture
    def stdin(self, tmp_path: Path) -> Path:
        (tmp_path / "file").write_bytes(NOISE)
        return tmp_path / "file"

    async def test_is_sent_whole(self, pair: ForwardPair, pipes: Pipe) -> None:
        target = await pair.accept()
        assert await target.receive_all() == NOISE
        target.close()
        await in_time(pipes.running)


class TestStdinFromNowhere:
    @pytest.fixture
    def stdin(self) -> Path:
        return Path(os.devnull)

    async def test_still_gets_what_the_target_says(self, pair: ForwardPair, pipes: Pipe) -> None:
        target = await pair.accept()
        assert await target.receive_all() == b""
        await target.send(b"greeting")
        target.close()
        assert await pipes.read_all() == b"greeting"
        await in_time(pipes.running)


async def test_a_reset_of_the_target_is_a_failure(pair: ForwardPair, pipes: Pipe) -> None:
    (await pair.accept()).reset()
    with pytest.raises(LinkError, match="broke"):
        await in_time(pipes.running)


async def test_a_lost_peer_is_a_failure(pair: ForwardPair, pipes: Pipe) -> None:
    target = await pair.accept()
    pipes.write(b"x")
    assert await target.receive(1) == b"x"
    pair.network.tox.set_online(False)
    with pytest.raises(LinkError):
        await in_time(pipes.running)


async def test_a_reader_that_has_gone_is_a_failure(pair: ForwardPair, pipes: Pipe) -> None:
    target = await pair.accept()
    pipes.close_stdout()
    await target.send(b"for nobody")
    with pytest.raises(LinkError, match=r"^$"):
        await in_time(pipes.running)
    assert await target.is_reset()


async def test_nothing_is_said_when_the_program_has_ended_before_the_target(
    pair: ForwardPair, pipes: Pipe
) -> None:
    """As ssh does at the end of its session: it closes both pipes, and sshd has not closed yet."""
    target = await pair.accept()
    await target.send(b"greeting")
    pipes.end_stdin()
    pipes.close_stdout()
    with pytest.raises(LinkError, match=r"^$"):
        await in_time(pipes.running)


async def test_a_refusal_says_why(pair: ForwardPair, pipes: Pipe) -> None:
    pair.target.close()
    with pytest.raises(LinkError, match="connection refused"):
        await in_time(pipes.running)


async def test_an_end_that_cannot_be_had_resets_the_stream(pair: ForwardPair) -> None:
    async def take() -> End:
        await (await pair.accept()).send(b"greeting")
        raise OSError("out of descriptors")

    with pytest.raises(OSError, match="out of descriptors"):
        await in_time(pipe.carry(pair.caller, pair.target.target, take))
    assert pair.client_road.link(pair.peer).idle


async def test_a_peer_that_does_not_come(pair: ForwardPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "WAIT_FOR_PEER_S", 0.01)
    pair.network.tox.set_online(False)
    await until(lambda: not pair.peer.online)
    with pytest.raises(LinkError, match="not reached"):
        await in_time(pipe.run(pair.caller, pair.target.target))


async def test_without_stdin_it_does_not_begin(pair: ForwardPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(LinkError, match="closed"):
        await in_time(pipe.run(pair.caller, pair.target.target))
