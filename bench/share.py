"""Time from the start of a command to the first byte, with and without a shared node; the server is warm.

Both hosts public, an unprivileged user. Each run: a command with a node of its own, one that starts the
shared node, then -P, -L and ssh on that node, and ssh over the bare link (goal: 0.2 s for -P and -L).
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from pwd import getpwnam

from lab import Host, Lab, apps, wait_until

from .harness import TOXVPN, arguments, median, progress, spread, table
from .pair import Server, Site

GOAL_S = 0.2
USER = "nobody"
PORT = 7000


class User:
    """A user of the client host, with a home directory and a key for the server's sshd."""

    def __init__(self, server: Server, sshd: apps.Sshd) -> None:
        self.host: Host = server.site.client
        self.server = server
        account = getpwnam(USER)
        self.home = self.host.directory / "home"
        self.home.mkdir(mode=0o700)
        key = self.home / "key"
        key.write_bytes(sshd.client_key.read_bytes())
        key.chmod(0o600)
        for path in (self.home, key):
            os.chown(path, account.pw_uid, account.pw_gid)
        self.env = {**server.site.variables(), "XDG_RUNTIME_DIR": str(self.home)}
        self.toxvpn = [TOXVPN, "-b", str(server.site.nodes)]
        self.ssh = [
            "-F", "none", "-q", "-i", str(key), f"-oUserKnownHostsFile={self.home}/known_hosts",
            "-oStrictHostKeyChecking=accept-new",
        ]  # fmt: skip

    def start(self, argv: Sequence[str]) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        return self.host.popen(argv, user=USER, env=self.env, stdin=pipe, stdout=pipe, stderr=pipe)

    def piped_s(self, *flags: str) -> float:
        """Time of -P to an echo server."""
        began_s = time.monotonic()
        argv = [*self.toxvpn, "-i", self.server.tox_id, *flags, "-P", f"localhost:{apps.ECHO_PORT}"]
        command = self.start(argv)
        assert command.stdin and command.stdout
        command.stdin.write(b"x")
        command.stdin.flush()
        assert command.stdout.read(1) == b"x"
        took_s = time.monotonic() - began_s
        self.host.stop(command)
        return took_s

    def listened_s(self) -> float:
        """Time of -L to an echo server, by a program that tries until it gets through."""
        began_s = time.monotonic()
        argv = [*self.toxvpn, "-i", self.server.tox_id, "-L", f"{PORT}:localhost:{apps.ECHO_PORT}"]
        command = self.start(argv)

        def answer() -> float | None:
            try:
                with self.host.connect("127.0.0.1", PORT) as sock:
                    sock.sendall(b"x")
                    return time.monotonic() if sock.recv(1) else None
            except OSError:
                return None

        took_s = wait_until(answer, "the forward", poll_s=0.002) - began_s
        self.host.stop(command)
        return took_s

    def logged_in_s(self, *program: str, destination: str) -> float:
        began_s = time.monotonic()
        self.host.run([*program, *self.ssh, f"root@{destination}", "true"], user=USER, env=self.env)
        return time.monotonic() - began_s

    def kill_the_node(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                ours = process.joinpath("comm").read_text() == "toxvpn-shared\n"
                environment = process.joinpath("environ").read_bytes()
            except OSError:
                continue
            if ours and self.host.namespace.name.encode() in environment:
                os.kill(int(process.name), signal.SIGTERM)
                wait_until(lambda gone=process: not gone.exists(), "the end of the node")  # type: ignore[misc]


def measure(user: User, runs: int) -> dict[str, list[float]]:
    tox_id, address = user.server.tox_id, str(user.server.site.server.ipv4)
    steps: dict[str, Callable[[], float]] = {
        "-P, a node of its own": lambda: user.piped_s("--no-share"),
        "-P, the first": user.piped_s,
        "-P, the second": user.piped_s,
        "-L, the second": user.listened_s,
        "toxvpn ssh, the second": lambda: user.logged_in_s(*user.toxvpn, "ssh", destination=tox_id),
        "ssh over the bare link": lambda: user.logged_in_s("ssh", destination=address),
    }
    took_s: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(runs):
        user.kill_the_node()
        for name, step in steps.items():
            took_s[name].append(step())
            progress(f"{name}: {took_s[name][-1]:.3f} s")
    return took_s


def main() -> None:
    given = arguments(__doc__, runs=10)
    with Lab() as lab:
        lab.bootstrap()
        hosts = lab.host("server"), lab.host("client")
        apps.echo_server(hosts[0])
        sshd = apps.sshd(hosts[0])
        server = Server(Site(*hosts, lab.nodes_json, {}))
        took_s = measure(User(server, sshd), given.runs)
    goals = {name: "met" if median(took_s[name]) <= GOAL_S else "MISSED" for name in list(took_s)[2:4]}
    table(
        f"Start of the command to the first byte (ssh: to the end of `true`), s, median of {given.runs}",
        ["", "s", f"goal {GOAL_S} s"],
        [[name, spread(values, ".3f"), goals.get(name, "")] for name, values in took_s.items()],
    )


if __name__ == "__main__":
    main()
