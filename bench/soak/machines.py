"""The two machines: what runs on each, how it is started, killed and frozen, and what it forwards."""

import asyncio
import json
import subprocess
import time
from collections.abc import Sequence
from socket import AF_INET6, SO_REUSEADDR, SOCK_DGRAM, SOL_SOCKET
from socket import socket as Socket  # noqa: N812
from typing import Any

from lab import Host, Lab, LabError, apps

from ..harness import LOCALHOST, TOXVPN
from .datagrams import echo
from .streams import Listener

TARGET = 9000
ECHO = 9001
FAST, TUNTOX, SOCKS, REMOTE, UDP = 7001, 7002, 7003, 7004, 7005
SECRET = "soak"
STARTING_S = 30.0
COMMAND_S = 120.0

CONFIG = """
[node]
nodes_file = "{nodes}"
[server]
secret_file = "secret"
allow_listen = ["{remote}"]
[vpn]
[peers.other]
id = "{peer}"
secret_file = "secret"
[[forwards]]
peer = "other"
listen = "{fast}"
target = "localhost:{target}"
[[forwards]]
peer = "other"
listen = "udp/{udp}"
target = "localhost:{echo}"
[[socks]]
peer = "other"
listen = "{socks}"
[[remote_forwards]]
peer = "other"
listen = "{remote}"
target = "localhost:{target}"
"""


class Program:
    """One toxvpn that goes on: it may be killed, and started again. What it logs is kept in one file."""

    def __init__(self, host: Host, name: str, argv: Sequence[str], port: int | None = None) -> None:
        self._host, self._argv, self._port = host, argv, port
        self.log = host.directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.sessions: list[int] = []
        self._is_ready = False
        self._ended_s = 0.0

    def start(self) -> None:
        """Returns once it listens on its port, if it has one."""
        with self.log.open("ab") as log:
            self.process = self._host.popen(
                self._argv,
                env={"TOXVPN_SHARED_SECRET": SECRET},
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._host.directory,
            )
        self.sessions.append(self.process.pid)
        if self._port is not None:
            try:
                apps.wait_listening(self.process, self._port, STARTING_S)
            except LabError:
                self.stop()
                raise
        self._is_ready = True

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.stop()

    def stop(self) -> None:
        assert self.process
        self._is_ready = False
        self._ended_s = time.monotonic()
        self._host.stop(self.process, grace_s=STARTING_S)
        self.process = None

    def ended_since(self, began_s: float) -> bool:
        """Whether it does not run, or starts, or has ended after that moment."""
        return not self._is_ready or self._ended_s >= began_s


class Machine:
    """A host with a toxvpn that does everything, and one that keeps to the tuntox road, towards `other`."""

    ipv4: str
    ipv6: str
    listener: Listener

    def __init__(self, name: str, lab: Lab, host: Host) -> None:
        self.name, self.host = name, host
        self._nodes = lab.nodes_json
        self.is_on = False
        self._commands: set[subprocess.Popen[bytes]] = set()
        self.directory, self.received = host.directory / "toxvpn", host.directory / "received"
        for folder in (self.directory, self.received, host.directory / "outgoing"):
            folder.mkdir(mode=0o700)
        self.tox_id = self.toxvpn("id").stdout.strip()
        self._tasks: list[asyncio.Task[None]] = []

    def introduce(self, other: "Machine") -> None:
        """Writes the configuration, and makes the programs."""
        ports = {"fast": FAST, "udp": UDP, "socks": SOCKS, "remote": REMOTE, "target": TARGET, "echo": ECHO}
        text = CONFIG.format(nodes=self._nodes, peer=other.tox_id, **ports)
        for name, content in (("secret", f"{SECRET}\n"), ("config.toml", text)):
            self.directory.joinpath(name).write_text(content)
            self.directory.joinpath(name).chmod(0o600)
        self.run = Program(self.host, "run", self._argv("run"), FAST)
        forward = f"{LOCALHOST}:{TUNTOX}:{LOCALHOST}:{TARGET}"
        client = [TOXVPN, "-b", str(self._nodes), "-i", other.tox_id, "--no-share", "--road", "tuntox"]
        self.client = Program(self.host, "client", [*client, "-L", forward], TUNTOX)
        self.receiver = Program(self.host, "receive", self._argv("receive", "--into", str(self.received)))

    def power_off(self) -> None:
        """Kills all, commands as well: one of them might go on alone, under the run's identity."""
        self.is_on = False
        for process in list(self._commands):
            process.kill()
        for program in self.running:
            program.kill()

    def shut_down(self) -> None:
        self.is_on = False
        for process in list(self._commands):
            process.terminate()
        for program in self.running:
            program.stop()

    @property
    def running(self) -> list[Program]:
        return [program for program in self.programs if program.process]

    def crashed(self) -> list[str]:
        """The programs that have ended by themselves."""
        codes = [(p.log.stem, p.process.poll()) for p in self.running if p.process]
        return [f"{name} has ended with {code}" for name, code in codes if code is not None]

    @property
    def sessions(self) -> list[int]:
        """Of all that its programs have ever been."""
        return [session for program in self.programs for session in program.sessions]

    @property
    def programs(self) -> tuple[Program, ...]:
        return self.run, self.client, self.receiver

    def start(self) -> None:
        for program in self.programs:
            if program.process is None:
                program.start()
        self.is_on = True

    def learn_addresses(self) -> None:
        own = self.status()["self"]
        self.ipv4, self.ipv6 = own["ipv4"], own["ipv6"]

    def listen(self) -> None:
        """The targets of what comes here; needs a running loop."""
        listener = self._bound(Socket, TARGET)
        listener.listen(1024)
        self.listener = Listener(listener)
        self._tasks.append(asyncio.create_task(echo(self._bound(lambda f: Socket(f, SOCK_DGRAM), ECHO))))

    async def close(self) -> None:
        await self.listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def toxvpn(
        self, verb: str, *words: str, timeout_s: float = COMMAND_S
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end, or that of the machine. Raises LabError when it takes too long."""
        argv, pipe = self._argv(verb, *words), subprocess.PIPE
        process = self.host.popen(argv, stdout=pipe, stderr=pipe)
        self._commands.add(process)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise LabError(f"{argv} on {self.name} does not end") from None
        finally:
            self._commands.discard(process)
            self.host.stop(process)
        return subprocess.CompletedProcess(argv, process.returncode, out.decode(), err.decode())

    def status(self) -> Any:
        return json.loads(self.toxvpn("status", "--json").stdout)

    def _argv(self, verb: str, *words: str) -> list[str]:
        return [TOXVPN, verb, "-C", str(self.directory), *words]

    def _bound(self, make: Any, port: int) -> Socket:
        sock: Socket = self.host.call(make, AF_INET6)
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        sock.bind(("::", port))
        sock.setblocking(False)
        return sock
