"""`toxvpn up` on two hosts that name each other, and a bootstrap node on one of them."""

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from lab import Host, wait_until
from lab.bootstrap import start_nodes, write_nodes_json

from .harness import ONLINE_S, TOXVPN, Environment
from .rivals import Addresses

INTERFACE = "tun-toxvpn"


class VpnSide:
    """One host's toxvpn."""

    def __init__(self, host: Host, nodes: Path, environment: Environment) -> None:
        self.host = host
        self.directory = host.directory / "toxvpn"
        self._nodes = nodes
        self._environment = environment
        self.tox_id = self._ask("id").strip()

    def up(self, peer: str) -> None:
        """`peer` is its Tox ID."""
        with self.host.directory.joinpath("toxvpn.log").open("wb") as log:
            self.process = self.host.popen(
                [*self._verb("up"), "-b", self._nodes, "--peer", peer, "--interface", INTERFACE],
                env=self._environment, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip

    def status(self) -> Any:
        """The document of `toxvpn status --json`; one with "error" before it is up."""
        return json.loads(self._ask("status", "--json"))

    def is_direct(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(self.host.directory.joinpath("toxvpn.log").read_text())
        return [peer["path"] for peer in self.status().get("peers", [])] == ["udp"]

    def _ask(self, verb: str, *flags: str) -> str:
        return self.host.run([*self._verb(verb), *flags], env=self._environment, check=False).stdout

    def _verb(self, verb: str) -> list[str]:
        return [TOXVPN, verb, "-C", str(self.directory)]


def toxvpn_up(near: Host, far: Host, environment: Environment) -> Addresses:
    """Both sides up and directly connected; the addresses inside."""
    nodes = far.directory / "nodes.json"
    write_nodes_json(nodes, start_nodes([far]))
    sides = [VpnSide(host, nodes, environment) for host in (near, far)]
    sides[0].up(sides[1].tox_id)
    sides[1].up(sides[0].tox_id)
    for side in sides:
        wait_until(partial(VpnSide.is_direct, side), "direct connection of toxvpn", ONLINE_S, 0.2)
    near_self, far_self = (side.status()["self"] for side in sides)
    return Addresses(near_self["ipv4"], far_self["ipv4"], near_self["ipv6"], far_self["ipv6"])
