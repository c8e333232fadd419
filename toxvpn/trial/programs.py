"""Programs of a trial: started on a machine as a user would start them, their lines read as a user would.

In: a Python module and its arguments. Out: the lines that it prints. A program ends with this process,
however that ends.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from ..errors import PeerOfflineError, ToxvpnError
from ..interpreter import command_line
from .machines import Machine

START = (
    "del sys.argv[{end}:]; sys.stdout.reconfigure(line_buffering=True); "
    "from toxvpn import linux; linux.kill_with_parent(); "
    "import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
)
# What an interpreter may need; not the user's secrets, proxies and directories.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TOXVPN_PAGE_LOCK")
STOPPING_S = 5.0
LAST_LINES = 5

Show = Callable[[str], None]


class StartedProgram:
    """Made by `start`, and running until `stop_all`. `name` is the one for messages."""

    def __init__(
        self, name: str, process: "subprocess.Popen[bytes]", output: asyncio.StreamReader, show: Show
    ) -> None:
        self.name = name
        self.lines: list[str] = []
        self.process = process
        self._show = show
        self._ended = False
        self._news = asyncio.Event()
        self.reading = asyncio.create_task(self._read(output))

    @classmethod
    async def start(cls, machine: Machine, module: str, *arguments: str, home: Path, show: Show,
                    secret: str | None = None) -> Self:  # fmt: skip
        """Raises OSError."""
        process = spawn(machine, module, arguments, home, secret)
        output = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), process.stdout
        )
        return cls(f"{module} on {machine.name}", process, output, show)

    async def wait_for(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """The first of its lines that has this. Raises PeerOfflineError when time is up, ToxvpnError."""
        try:
            async with asyncio.timeout(timeout_s):
                while (found := self._find(pattern)) is None:
                    if self._ended:
                        raise ToxvpnError(f"{self.name} has ended: {self._last_lines()}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise PeerOfflineError(
                f"{self.name} did not get there in {timeout_s:g} s: {self._last_lines()}"
            ) from None
        return found

    def _find(self, pattern: str) -> re.Match[str] | None:
        return next((found for line in self.lines if (found := re.search(pattern, line))), None)

    def _last_lines(self) -> str:
        return "; ".join(self.lines[-LAST_LINES:]) or "it has said nothing"

    async def _read(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            text = line.decode(errors="replace").rstrip()
            self.lines.append(text)
            self._show(text)
            self._news.set()
        self._ended = True
        self._news.set()


def spawn(
    machine: Machine, module: str, arguments: Sequence[str], home: Path, secret: str | None
) -> "subprocess.Popen[bytes]":
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment["HOME"] = str(home)
    if secret is not None:
        environment["TOXVPN_SHARED_SECRET"] = secret
    code = START.format(end=1 + len(arguments), module=module)
    with machine.entered():
        return subprocess.Popen(
            command_line(code, arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # a Ctrl-C at the terminal is for us, who stop it
        )


async def stop_all(programs: Iterable[StartedProgram]) -> None:
    """SIGTERM to all, and SIGKILL to those that are still there after `STOPPING_S`."""
    programs = list(programs)
    for program in programs:
        program.process.terminate()
    for program in programs:
        try:
            await asyncio.to_thread(program.process.wait, STOPPING_S)
        except subprocess.TimeoutExpired:
            program.process.kill()
            program.process.wait()
        await program.reading
