"""Two raw nodes (raw_node.py) on two hosts, connected directly, to measure libtoxcore itself."""

import json
import subprocess
from typing import Any

from lab import Host, LabError, wait_until
from toxvpn._native import toxcore  # noqa: F401  (puts the parts in force)
from toxvpn._native.net import netio

from . import blaster_build
from .harness import ONLINE_S, STOCK, Environment, module

PARTS = [name for name, hook in netio.hooks()._asdict().items() if hook.in_force]
"""Those that this machine has, when nothing is switched off."""


class RawEnd:
    """One raw node; `ask` sends it a command and waits for the answer."""

    program = "raw_node"

    def __init__(self, host: Host, environment: Environment) -> None:
        self.host = host
        self.process = host.popen(
            module(self.program), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.hello = self._answer()

    def ask(self, command: str, *arguments: object) -> Any:
        assert self.process.stdin
        self.process.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        if not (line := self.process.stdout.readline()):
            raise LabError(f"the raw node on {self.host.name} ended")
        return json.loads(line)


class RawPair:
    """`far_address` is where the near host reaches the far one. Connecting takes 10 s."""

    def __init__(self, near: Host, far: Host, far_address: str, environment: Environment) -> None:
        blaster_build.build()
        self.near, self.far = RawEnd(near, environment), RawEnd(far, environment)
        expected = [] if environment is STOCK else PARTS
        for end in (self.near, self.far):
            if end.hello["in_force"] != expected:
                raise LabError(f"these parts are in force: {end.hello['in_force']}; expected {expected}")
        there = self.far.hello
        self.near.ask("reach", there["tox_id"], far_address, there["port"], there["dht_id"])

    def wait_direct(self) -> None:
        wait_until(
            lambda: self.near.ask("is_direct") and self.far.ask("is_direct"),
            "direct Tox connection", ONLINE_S, 0.2,
        )  # fmt: skip

    def blast(self, size: int, seconds: float, *, reverse: bool = False) -> float:
        """Packets per second as the other side received them; `reverse`: from far to near."""
        sender, receiver = (self.far, self.near) if reverse else (self.near, self.far)
        receiver.ask("take")
        sender.ask("blast", size, seconds)
        packets, took_s = receiver.ask("take")
        if packets < 2:
            raise LabError("no lossy packets came through")
        return float(packets / took_s)

    def stop(self) -> None:
        for end in (self.near, self.far):
            end.host.stop(end.process)
