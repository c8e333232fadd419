"""A shared node on a network in memory, and its commands, which are real processes.

Command ~ socket ~ SharedNode -> Caller -> road ~ road -> ForwardServer -> TargetProgram
"""

import asyncio
import contextlib
import socket
import sys
from pathlib import Path
from typing import Any, Self, cast

from ..share.logrelay import NodeLogRelay
from ..share.node import SharedNode
from ..share.rendezvous import Rendezvous
from ..share.streams import PeerStreams
from ..tcpforward.builtin import Builtins
from ..tcpforward.choice import RoadChoice
from ..tcpforward.speed.client import Tell
from ..tox.peer import Peer
from ..wire.toxid import ToxId
from .forward_pair import ForwardPair, in_time

ID = ToxId(bytes(range(32)), b"\1\2\3\4")
"""Whom the commands say they call."""


class FakePeerStreams:
    """A `PeerStreams` whose streams take the tuntox road to the other half of the pair."""

    def __init__(self, pair: ForwardPair) -> None:
        self.caller = pair.caller
        self.builtins = Builtins()
        self.stopping = asyncio.Event()
        self.measured = asyncio.Event()  # until then a speed test lasts
        self.measured.set()

    def choice(self, _: Peer) -> RoadChoice:
        return "tuntox", "the peer is not a toxvpn"

    async def ping(self) -> str:
        return "pong"

    async def speed(self, seconds: float, tell: Tell) -> dict[str, Any]:
        tell({"phase": "idle"})
        await self.measured.wait()
        return {"phase": "done", "result": {"seconds": seconds}}


class Running:
    """A node that serves, `async with`; `ended` is done when it does not any more."""

    ended: "asyncio.Task[None]"

    def __init__(self, pair: ForwardPair, rendezvous: Rendezvous) -> None:
        self.pair = pair
        self.locks = contextlib.ExitStack()
        self.streams = FakePeerStreams(pair)
        self.node = SharedNode(
            cast(PeerStreams, self.streams),
            pair.client_node,
            rendezvous,
            rendezvous.listen(),
            NodeLogRelay(),
            self.locks,
            is_kept=False,
        )

    async def __aenter__(self) -> Self:
        self.ended = asyncio.create_task(self.node.serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        await in_time(asyncio.gather(self.ended, return_exceptions=True))
        self.locks.close()

    def stop(self) -> None:
        """As `toxvpn down` does."""
        self.streams.stopping.set()

    def hang_up(self) -> None:
        """On its commands, without a word, as if it had been killed."""
        for session in self.node.sessions:
            session.connection.shutdown(socket.SHUT_RDWR)


class Command:
    """A toxvpn process, its three pipes in the hands of a test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdin and process.stdout and process.stderr
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr

    async def write(self, data: bytes) -> None:
        self._stdin.write(data)
        await in_time(self._stdin.drain())

    def end_stdin(self) -> None:
        self._stdin.close()

    async def read(self, size_bytes: int) -> bytes:
        return await in_time(self._stdout.readexactly(size_bytes))

    async def receive_all(self) -> bytes:
        return await in_time(self._stdout.read())

    async def line(self, part: str) -> str:
        """The next line of stderr with `part` in it."""
        while line := (await in_time(self._stderr.readline())).decode():
            if part in line:
                return line
        raise AssertionError(f"it ended without saying {part!r}")

    async def rest_of_stderr(self) -> str:
        """The rest of stderr."""
        return (await in_time(self._stderr.read())).decode()

    async def code(self) -> int:
        return await in_time(self.process.wait())


class Commands:
    """Started with `-C directory`; `close` ends those that still run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str, boot: tuple[str, ...] = ("-m", "toxvpn")) -> Command:
        return await self.start_verb("-i", str(ID), *arguments, boot=boot)

    async def start_verb(self, *arguments: str, boot: tuple[str, ...] = ("-m", "toxvpn")) -> Command:
        argv = [sys.executable, *boot, "-C", str(self._directory), *arguments]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe)
        self._started.append(process)
        return Command(process)

    async def close(self) -> None:
        for process in self._started:
            if process.returncode is None:
                process.kill()
            await in_time(process.communicate())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
