"""Servers to try a tunnel with, each a process on a host of the lab, and the client side of iperf3.

Every function returns once the server listens; the lab stops it at the end, or `host.stop(process)` before.
`bind` is the address to listen on, by default all of them.
"""

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import echo
from . import proxy as proxy_program
from .errors import LabError
from .host import Host
from .processes import PROVISION, Arguments
from .waiting import wait_until

SSH_PORT = 22
IPERF3_PORT = 5201
HTTP_PORT = 8000
ECHO_PORT = 7
IPERF3_TRIES = 4

LISTEN_STATE = "0A"


@dataclass(frozen=True, slots=True)
class Sshd:
    """A running sshd that lets `client_key` in as root."""

    process: subprocess.Popen[bytes]
    port: int
    client_key: Path
    known_hosts: Path

    def client(self, *arguments: str) -> list[str]:
        """The argv of an ssh client that knows this server under any name and has the key."""
        options = [
            f"-oUserKnownHostsFile={self.known_hosts}",
            "-oStrictHostKeyChecking=yes",
            "-oBatchMode=yes",
        ]
        return ["ssh", "-F", "none", "-i", str(self.client_key), *options, *arguments]


def sshd(host: Host, port: int = SSH_PORT, bind: str | None = None) -> Sshd:
    """sshd with a host key, a client key and a configuration of its own; nothing of the machine's is used."""
    directory = host.directory / f"sshd-{port}"
    process = _start(host, [PROVISION / "sshd.sh", directory, str(port), bind or ""], port)
    return Sshd(process, port, directory / "client_key", directory / "known_hosts")


def iperf3_server(host: Host, port: int = IPERF3_PORT, bind: str | None = None) -> subprocess.Popen[bytes]:
    argv = ["iperf3", "-s", "-p", str(port)]
    argv += ["-B", bind] if bind else []
    return _start(host, argv, port)


def iperf3(
    host: Host,
    address: str,
    port: int = IPERF3_PORT,
    *,
    seconds: int = 3,
    reverse: bool = False,
    streams: int = 1,
) -> float:
    """TCP throughput in Mbit/s from this host to the server (`reverse`: back), as the receiver saw it."""
    options = ["-p", str(port), "-P", str(streams), *(["-R"] if reverse else [])]
    report = iperf3_report(host, address, *options, seconds=seconds)
    return float(report["sum_received"]["bits_per_second"]) / 1e6


def iperf3_report(host: Host, address: str, *options: str, seconds: int) -> dict[str, Any]:
    """The sums at the end of a run. A server that still closes the run before refuses the next one: again."""
    for _ in range(IPERF3_TRIES):
        argv = ["iperf3", "-J", "-c", address, "-t", str(seconds), *options]
        report = json.loads(host.run(argv, timeout_s=seconds + 30).stdout)
        if "error" not in report:
            end: dict[str, Any] = report["end"]
            return end
    raise LabError(f"iperf3 from {host.name} to {address}: {report['error']}")


def http_server(
    host: Host, directory: Path, port: int = HTTP_PORT, bind: str | None = None
) -> subprocess.Popen[bytes]:
    """Serves the files below `directory`, a thread per connection."""
    argv = [sys.executable, "-m", "http.server", "-d", str(directory), str(port)]
    argv += ["-b", bind] if bind else []
    return _start(host, argv, port)


def echo_server(host: Host, port: int = ECHO_PORT, bind: str | None = None) -> subprocess.Popen[bytes]:
    """Sends every byte of a TCP connection back, and its end once the client has sent its own (RFC 862)."""
    return _start(host, [sys.executable, "-I", echo.__file__, bind or "::", str(port)], port)


def proxy(host: Host, port: int) -> subprocess.Popen[bytes]:
    """A proxy for TCP: SOCKS5 and HTTP's CONNECT, on one port."""
    return _start(host, [sys.executable, "-I", proxy_program.__file__, str(port)], port)


def wait_listening(process: subprocess.Popen[bytes], port: int, timeout_s: float = 10.0) -> None:
    """Wait until somebody in the network of `process` listens on this TCP port, without connecting to it.

    Raises LabError when the process ends before, or after `timeout_s`.
    """

    def condition() -> bool:
        if process.poll() is not None:
            raise LabError(f"{process.args!r} ended before it listened on port {port}")
        with contextlib.suppress(OSError):  # it has ended meanwhile
            return port in listening_ports(process.pid)
        return False

    wait_until(condition, f"listener on port {port} by {process.args!r}", timeout_s)


def listening_ports(pid: int) -> set[int]:
    """The TCP ports somebody listens on in the network of process `pid`."""
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == LISTEN_STATE:
                ports.add(int(local.rpartition(":")[2], 16))
    return ports


def _start(host: Host, argv: Arguments, port: int) -> subprocess.Popen[bytes]:
    log = host.directory / f"{Path(argv[0]).name}-{port}.log"
    with log.open("wb") as output:
        process = host.popen(argv, stdout=output, stderr=output)
    try:
        wait_listening(process, port)
    except LabError as error:
        raise LabError(f"{error}\n{log.read_text()}") from None
    return process
