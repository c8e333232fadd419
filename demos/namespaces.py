"""The five machines as network namespaces on this one, which lab/ makes and removes."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import Host, Lab, LabError
from lab.require import missing

from .machine import PATIENCE_S, DemoError, Machine, Scene

REPOSITORY = Path(__file__).resolve().parents[1]
TOXVPN = Path(sys.executable).with_name("toxvpn")


class NamespaceMachine(Machine):
    def __init__(self, host: Host, nodes_json: Path) -> None:
        super().__init__(host.name, str(REPOSITORY))
        self._host = host
        toxvpn = host.directory / "bin/toxvpn"  # the usual directories are those of this whole machine
        toxvpn.parent.mkdir()
        toxvpn.write_text(f'#!/bin/sh\nexec {TOXVPN} -C {host.directory}/toxvpn -b {nodes_json} "$@"\n')
        toxvpn.chmod(0o755)
        self._env = {"PATH": f"{toxvpn.parent}:{os.environ['PATH']}:/usr/sbin:/sbin"}

    def run(self, command: str, *, input: str = "", timeout_s: float = PATIENCE_S) -> str:
        argv = ["sh", "-c", command]
        try:
            done = self._host.run(
                argv, input=input, cwd=self._host.directory, env=self._env, timeout_s=timeout_s
            )
        except LabError as error:
            raise DemoError(str(error)) from None
        return done.stdout


@contextmanager
def namespaces() -> Iterator[Scene]:
    if reason := missing():
        sys.exit(reason)
    with Lab() as lab:
        lab.bootstrap()
        server_nat, laptop_nat = lab.nat("nata"), lab.nat("natb")
        hosts = (
            server_nat.host("server"),
            laptop_nat.host("laptop"),
            server_nat,
            laptop_nat,
            lab.nodes[0].host,
        )
        yield Scene(*(NamespaceMachine(host, lab.nodes_json) for host in hosts))
