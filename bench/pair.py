"""toxvpn on two hosts of the lab: a warm server, and fresh clients with a forward to it."""

import contextlib
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from socket import socket as Socket  # noqa: N812
from typing import Protocol

from lab import Host, LabError, wait_until

from .harness import LOCALHOST, ONLINE_S, TOXVPN, Environment

LISTEN_PORT = 7000


@dataclass(frozen=True, slots=True)
class Site:
    """Two hosts, the nodes.json they start from, and how their toxvpn runs; `user` None: as root."""

    server: Host
    client: Host
    nodes: Path
    environment: Environment
    user: str | None = None
    secret = "bench"

    def variables(self) -> dict[str, str]:
        return {"TOXVPN_SHARED_SECRET": self.secret, **self.environment}


class Called(Protocol):
    """What a client needs to know of its server."""

    site: Site
    tox_id: str


class Server:
    """`toxvpn` alone on the server host, found by one client already: warm, if you want."""

    def __init__(self, site: Site, *flags: str, warm: bool = True) -> None:
        self.site = site
        directory = site.server.directory / f"toxvpn-{time.monotonic_ns()}"
        directory.mkdir(mode=0o700)
        if site.user:
            shutil.chown(directory, site.user)
        self.log = directory.with_suffix(".log")
        self._argv: list[str | Path] = [TOXVPN, "-C", directory, "-b", site.nodes, *flags]
        self.start()
        if not warm:
            return
        ping = [TOXVPN, "-q", "-b", str(site.nodes), "-i", self.tox_id, "-p"]
        site.client.run(ping, user=site.user, env=site.variables(), timeout_s=ONLINE_S)

    def start(self) -> None:
        """Also once more, after it was killed."""
        with self.log.open("ab") as log:
            self.process = self.site.server.popen(
                self._argv, user=self.site.user, env=self.site.variables(), stdout=subprocess.PIPE, stderr=log
            )
        assert self.process.stdout
        self.tox_id = self.process.stdout.readline().decode().strip()
        if not self.tox_id:
            raise LabError(f"the server ended: {self.log.read_text()}")

    def stop(self) -> None:
        self.site.server.stop(self.process)


class Client:
    """`toxvpn -i ID -L …` on the client host, with a new identity; `port` is the target's on the server."""

    def __init__(
        self,
        server: Called,
        port: int,
        *flags: str,
        environment: Environment | None = None,
        listen_port: int = LISTEN_PORT,
    ) -> None:
        self.site = server.site
        self.listen_port = listen_port
        self.log = self.site.client.directory / f"client-{time.monotonic_ns()}.log"
        forward = f"{LOCALHOST}:{listen_port}:{LOCALHOST}:{port}"
        with self.log.open("wb") as log:
            self.process = self.site.client.popen(
                [TOXVPN, "-b", self.site.nodes, "-i", server.tox_id, "--no-share", "-L", forward, *flags],
                user=self.site.user, env={**self.site.variables(), **(environment or {})}, stderr=log,
            )  # fmt: skip

    def connect(self) -> Socket:
        """A connection through the forward, as soon as the listener is there."""

        def attempt() -> Socket | None:
            with contextlib.suppress(OSError):
                return self.site.client.connect(LOCALHOST, self.listen_port)
            if self.process.poll() is not None:
                raise LabError(f"the client ended: {self.log.read_text()}")
            return None

        sock = wait_until(attempt, "listener of the client", poll_s=0.01)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        sock.settimeout(ONLINE_S)
        return sock

    def path(self) -> str:
        """The present path to the server: udp, tcp-relay or none."""
        paths = re.findall(r"peer \w+: (udp|tcp-relay|none)\b", self.log.read_text())
        return str(paths[-1]) if paths else "none"

    def wait_path(self, path: str, timeout_s: float = ONLINE_S) -> None:
        try:
            wait_until(lambda: self.path() == path, f"path {path} to the server", timeout_s, poll_s=0.1)
        except LabError as failure:
            raise LabError(f"{failure}; the log of the client:\n{self.log.read_text()}") from None

    def stop(self) -> None:
        self.site.client.stop(self.process)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def receive(sock: Socket, count: int) -> bytes:
    """Receive exactly `count` bytes. Raises LabError when the stream ends before."""
    data = bytearray()
    while len(data) < count:
        if not (more := sock.recv(count - len(data))):
            raise LabError(f"the stream ended after {len(data)} of {count} bytes")
        data += more
    return bytes(data)
