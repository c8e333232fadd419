"""A daemon that is only a control socket, in a thread of its own: for tests of the verbs that ask one."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from ..control.commands import RunCommands
from ..control.protocol import ControlRequest
from ..control.server import ControlServer
from ..control.status import RunStatus
from ..state.places import make
from .fake_status import busy

Answer = object | Exception


class FakeDaemon:
    """`with FakeDaemon(directory) as daemon`: serves there until the end of the `with`, `end`, or `down`.

    It answers with `status`, and counts in `reads` how often that was read, in `looks` how often measured.
    `pings` are the answers to come, seconds or errors. Words given to `answers` are answered so, and noted in
    `asked`.
    """

    def __init__(self, directory: Path, answers: dict[str, Answer] | None = None) -> None:
        self.status = busy()
        self.reads = self.looks = 0
        self.pings: list[float | Exception] = []
        self.asked: list[ControlRequest] = []
        self._directory = make(directory)
        self._answers = answers or {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def end(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = ControlServer(self._directory)
        RunCommands(server, self._read_status, self._ping, self._end.set, self._look)
        for do, answer in self._answers.items():
            server.register(do, self._handler(answer))
        await server.start()
        self._ready.set()
        await self._end.wait()
        server.close()

    def _handler(self, answer: Answer) -> Callable[[ControlRequest], Awaitable[object]]:
        async def handle(request: ControlRequest) -> object:
            self.asked.append(request)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return handle

    def _read_status(self) -> RunStatus:
        self.reads += 1
        return self.status

    def _look(self) -> None:
        self.looks += 1

    async def _ping(self, _: bytes) -> float:
        answer = self.pings.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer
