"""The steps of a trial, each told when it is done: the network, the server, the client, the fetch.

In: two machines, a directory for what the programs keep, and where to tell. Out: lines for a person, or a
ToxvpnError. The commands are told as one types them on two real machines; the programs also get the flags
that keep them to this trial.
"""

import asyncio
import contextlib
import http.client
import socket
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import ToxvpnError
from ..state.secretfile import SECRET_NAME
from .machines import LOOPBACK, Machine, Machines
from .network import tox_network
from .programs import StartedProgram, stop_all

PAGE = "a page of the server's own, fetched through Tox"
PAGE_PORT, FORWARD_PORT = 8000, 8080
STARTING_S = 30.0
CONNECTING_S = 60.0
FETCHING_S = 30.0
ISOLATED = "[node]\nlan_discovery = false\n"
"""config.toml of both, so that nothing is sent to the local network where they share this machine's."""

PATHS = {"udp": "directly, over UDP", "tcp-relay": "over a relay"}

Tell = Callable[[str], None]


class Story:
    """Tells commands, and what came of each and how long it took."""

    def __init__(self, tell: Tell, now: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._now = now
        self._began_s = self._since_s = now()

    @property
    def took_s(self) -> float:
        return self._now() - self._began_s

    def command(self, machine: Machine, text: str) -> None:
        self._tell(f"{machine.name}$ {text}")

    def result(self, text: str) -> None:
        now = self._now()
        self._tell(f"        {text} ({now - self._since_s:.1f} s)")
        self._since_s = now


class Trial:
    """`show` gets each line of the programs, and the command lines that were run, with the machine's name."""

    def __init__(
        self, machines: Machines, directory: Path, story: Story, show: Callable[[str, str], None]
    ) -> None:
        self._machines = machines
        self._directory = directory
        self._story = story
        self._show = show
        self._nodes_file = directory / "nodes.json"
        self._programs: list[StartedProgram] = []

    async def go(self) -> None:
        """Raises ToxvpnError. What it started has ended afterwards."""
        try:
            with tox_network(self._machines.laptop.address, self._nodes_file):
                self._story.result("a Tox network of one node, which is this program")
                await self._steps()
        finally:
            await stop_all(self._programs)

    async def _steps(self) -> None:
        machines, story = self._machines, self._story
        page_port, port = free_port(machines.server, PAGE_PORT), free_port(machines.laptop, FORWARD_PORT)
        await self._serve_page(page_port)

        story.command(machines.server, "toxvpn")
        server = await self._toxvpn(machines.server)
        tox_id = (await server.wait_for(r"^[0-9A-F]{76}$", STARTING_S))[0]
        story.result(f"its Tox ID: {tox_id}")

        forward = f"{port}:localhost:{page_port}"
        story.command(machines.laptop, f"TOXVPN_SHARED_SECRET=<secret> toxvpn -i <ToxID> -L {forward}")
        secret = (self._directory / machines.server.name / SECRET_NAME).read_text().strip()
        client = await self._toxvpn(machines.laptop, "-i", tox_id, "-L", forward, "--no-share", secret=secret)
        await client.wait_for("listening:", STARTING_S)
        story.result(f"port {port} here is open, and waits for the server")
        await server.wait_for(r"accepted \(secret\)", CONNECTING_S)
        story.result("the server lets the laptop in: it has sent the secret")
        path = (await client.wait_for(r"peer [0-9A-F]{8}: (udp|tcp-relay)", CONNECTING_S))[1]
        story.result(f"connected {PATHS[path]}")

        story.command(machines.laptop, f"curl http://localhost:{port}/")
        story.result(await asyncio.to_thread(fetch, port))
        road = await client.wait_for(r"streams take the (\w+) road: (.*)", STARTING_S)
        story.result(f"it took the {road[1]} road: {road[2]}")

    async def _serve_page(self, port: int) -> None:
        folder = self._directory / "page"
        folder.mkdir()
        folder.joinpath("index.html").write_text(f"{PAGE}\n")
        self._story.command(self._machines.server, f"python3 -m http.server {port} --bind {LOOPBACK}")
        arguments = (str(port), "--bind", LOOPBACK, "--directory", str(folder))
        program = await self._start(self._machines.server, "http.server", *arguments)
        await program.wait_for("Serving HTTP", STARTING_S)
        self._story.result("a page that only the server itself can open")

    async def _toxvpn(self, machine: Machine, *arguments: str, secret: str | None = None) -> StartedProgram:
        directory = self._directory / machine.name
        directory.mkdir(mode=0o700)
        directory.joinpath("config.toml").write_text(ISOLATED)
        words = ("-C", str(directory), "-b", str(self._nodes_file), *arguments)
        return await self._start(machine, "toxvpn", *words, secret=secret)

    async def _start(
        self, machine: Machine, module: str, *words: str, secret: str | None = None
    ) -> StartedProgram:
        def show(line: str) -> None:
            self._show(machine.name, line)

        show(" ".join(["$", module, *words]))
        program = await StartedProgram.start(
            machine, module, *words, home=self._directory, secret=secret, show=show
        )
        self._programs.append(program)
        return program


def free_port(machine: Machine, wanted: int) -> int:
    """The wanted port, or another one where that is taken."""
    with machine.entered():
        for port in (wanted, 0):
            with contextlib.suppress(OSError), socket.create_server((LOOPBACK, port)) as probe:
                found: int = probe.getsockname()[1]
                return found
    raise ToxvpnError(f"no port is free on {machine.name}")


def fetch(port: int) -> str:
    """The page at this port of ours. Raises ToxvpnError."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=FETCHING_S)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        page = response.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise ToxvpnError(f"the page could not be fetched through the connection: {error}") from None
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise ToxvpnError(f"the page could not be fetched: {response.status} {response.reason}")
    return page
