"""Real Tox bootstrap nodes (tox-bootstrapd), which are TCP relays too, and the list of them for programs.

toxcore starts to punch holes once four DHT nodes have reported a friend, so a network that behaves like
the real one needs eight of them, each knowing the first.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .host import Host
from .processes import PROVISION
from .waiting import wait_until

UDP_PORT = 33445
RELAY_PORTS = (443, 33445)


@dataclass(frozen=True, slots=True)
class BootstrapNode:
    """One running node, on a host of its own."""

    host: Host
    public_key: str  # 64 hex digits, upper case
    process: "subprocess.Popen[bytes]"
    port: int = UDP_PORT
    tcp_ports: tuple[int, ...] = RELAY_PORTS


@dataclass(frozen=True, slots=True)
class _Starting:
    host: Host
    log: Path
    process: "subprocess.Popen[bytes]"

    def wait(self) -> BootstrapNode:
        key = wait_until(self._public_key, f"public key from tox-bootstrapd on {self.host.name}")
        return BootstrapNode(self.host, key, self.process)

    def _public_key(self) -> str | None:
        printed = self.log.read_text()
        if found := re.search(r"Public Key: ([0-9A-F]{64})\b", printed):
            return found[1]
        if self.process.poll() is not None:
            raise LabError(f"tox-bootstrapd on {self.host.name} ended:\n{printed}")
        return None


def start_nodes(hosts: list[Host]) -> list[BootstrapNode]:
    """Start a node on each host; returns when all have printed their keys, in well under a second."""
    first = _start(hosts[0], known=None).wait()
    others = [_start(host, known=first) for host in hosts[1:]]
    return [first, *(starting.wait() for starting in others)]


def restart_nodes(nodes: list[BootstrapNode]) -> list[BootstrapNode]:
    """Start nodes that were killed again, on their hosts and with their keys.

    Their ports for relays are free once the kernel has forgotten the connections of those who were killed.
    """
    for node in nodes:
        node.host.run(["ss", "-K", "-tH", "state", "all"], check=False)
    return start_nodes([node.host for node in nodes])


def _start(host: Host, known: BootstrapNode | None) -> _Starting:
    argv: list[str | Path] = [
        PROVISION / "node.sh",
        host.directory,
        str(UDP_PORT),
        ", ".join(map(str, RELAY_PORTS)),
    ]
    if known:
        argv += [known.public_key, str(known.host.ipv4), str(known.port)]
    log = host.directory / "bootstrapd.log"
    with log.open("wb") as output:
        process = host.popen(argv, stdout=output, stderr=output)
    return _Starting(host, log, process)


def write_nodes_json(path: Path, nodes: list[BootstrapNode]) -> None:
    """The list in the format of https://nodes.tox.chat/json, of which these fields matter to programs."""
    entries = [
        {
            "ipv4": node.host.ipv4,
            "ipv6": node.host.ipv6,
            "port": node.port,
            "tcp_ports": list(node.tcp_ports),
            "public_key": node.public_key,
        }
        for node in nodes
    ]
    path.write_text(json.dumps({"nodes": entries}, indent=1))
    path.chmod(0o644)
