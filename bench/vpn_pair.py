"""`toxvpn up` on two hosts that name each other, and a bootstrap node on one of them."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lab import Host, wait_until
from lab.bootstrap import start_nodes, write_nodes_json

from .cost import cpu_s
from .harness import ONLINE_S, TOXVPN, Environment
from .rivals import Addresses

INTERFACE = "tun-toxvpn"


class VpnSide:
    """One host's toxvpn: root's VPN, or that of a `user` without root."""

    def __init__(self, host: Host, nodes: Path, environment: Environment, user: str | None = None) -> None:
        self.host = host
        self.directory = host.directory / f"toxvpn-{user}"
        self.directory.mkdir(0o700)
        if user is not None:
            shutil.chown(self.directory, user)
        self._log = host.directory / f"toxvpn-{user}.log"
        self._nodes = nodes
        self._environment = environment
        self._user = user
        self.tox_id = self._ask("id").strip()

    def up(self, *peers: str) -> None:
        """`peers` are their Tox IDs."""
        words = [word for peer in peers for word in ("--peer", peer)]
        self.up_again = partial(self.up, *peers)
        with self._log.open("ab") as log:
            self.process = self.host.popen(
                [*self._verb("up"), "-b", str(self._nodes), "--interface", INTERFACE, *words]
                + (["--user"] if self._user else []),
                user=self._user, env=self._environment, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip

    def run(self, words: Sequence[str], timeout_s: float) -> str:
        """What a command in the VPN prints."""
        inside = self._verb("exec") if self._user else []
        return self.host.run(
            [*inside, *words], user=self._user, env=self._environment, timeout_s=timeout_s
        ).stdout

    def status(self) -> Any:
        """The document of `toxvpn status --json`; one with "error" before it is up."""
        return json.loads(self._ask("status", "--json"))

    def is_direct(self) -> bool:
        return self.paths() == ["udp"]

    def paths(self) -> list[str]:
        """To each peer: udp, tcp-relay or none."""
        if self.process.poll() is not None:
            raise RuntimeError(self._log.read_text())
        return [peer["path"] for peer in self.status().get("peers", [])]

    def reload(self) -> None:
        self.host.run(self._verb("reload"), env=self._environment)

    def _ask(self, verb: str, *flags: str) -> str:
        argv = [*self._verb(verb), *flags]
        return self.host.run(argv, user=self._user, env=self._environment, check=False).stdout

    def _verb(self, verb: str) -> list[str]:
        return [TOXVPN, verb, "-C", str(self.directory)]


class VpnPair:
    """Both sides with a config.toml, in which each names the other; `start` first."""

    def __init__(self, near: Host, far: Host, environment: Environment) -> None:
        nodes = far.directory / "nodes.json"
        write_nodes_json(nodes, start_nodes([far]))
        self._sides = [VpnSide(host, nodes, environment) for host in (near, far)]

    def start(self) -> Addresses:
        """Returns the addresses inside when both are directly connected."""
        self._write("")
        near, far = self._sides
        near.up(far.tox_id)
        far.up(near.tox_id)
        for side in self._sides:
            wait_until(partial(VpnSide.is_direct, side), "direct connection of toxvpn", ONLINE_S, 0.2)
        near_self, far_self = (side.status()["self"] for side in self._sides)
        return Addresses(near_self["ipv4"], far_self["ipv4"], near_self["ipv6"], far_self["ipv6"])

    @property
    def pids(self) -> tuple[int, int]:
        """Of the near and the far toxvpn, once started."""
        near, far = (side.process.pid for side in self._sides)
        return near, far

    def cpu_s(self) -> float:
        """Processor time that both have used so far."""
        return sum(map(cpu_s, self.pids))

    def configure(self, keys: str) -> None:
        """Puts `keys` of the other's section in force on both sides."""
        self._write(keys)
        for side in self._sides:
            side.reload()

    def _write(self, keys: str) -> None:
        for side, other in zip(self._sides, reversed(self._sides), strict=True):
            text = f'[vpn]\n[peers.other]\nid = "{other.tox_id}"\n{keys}\n'
            (side.directory / "config.toml").write_text(text)


def toxvpn_up(near: Host, far: Host, environment: Environment) -> Addresses:
    """Both sides up and directly connected; the addresses inside."""
    return VpnPair(near, far, environment).start()
