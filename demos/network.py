"""The two hosts on a network of toxvpn's: `toxvpn up` on both, and how they reach each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .machine import PATIENCE_S, Machine, Program, Scene, wait_for
from .steps import TOX_ID, show, step


@dataclass(frozen=True)
class Host:
    machine: Machine
    tox_id: str
    up: Program
    ipv4: str
    ipv6: str


@dataclass(frozen=True)
class Hosts:
    server: Host
    laptop: Host

    def path(self) -> str:
        """How the laptop reaches the server."""
        [peer] = (peer for peer in self.laptop.machine.status()["peers"] if peer["online"])
        return str(peer["path"])


@contextmanager
def network(scene: Scene) -> Iterator[Hosts]:
    """Both hosts on the VPN."""
    server, laptop = scene.server, scene.laptop
    server_id, laptop_id = (machine.run("toxvpn id").strip() for machine in (server, laptop))
    show(server, f"toxvpn up --peer {laptop_id}")
    show(laptop, f"toxvpn up --peer {server_id}")
    with up(server, laptop_id) as server_up, up(laptop, server_id) as laptop_up:
        with step("the two find each other"):
            wait_for(lambda: laptop.succeeds("toxvpn status"), f"toxvpn\n{laptop_up.log()}", PATIENCE_S)
            laptop.run(f"toxvpn wait --timeout {PATIENCE_S} {server_id}", timeout_s=PATIENCE_S + 60)
        there, here = server.status()["self"], laptop.status()["self"]
        yield Hosts(
            Host(server, server_id, server_up, there["ipv4"], there["ipv6"]),
            Host(laptop, laptop_id, laptop_up, here["ipv4"], here["ipv6"]),
        )


@contextmanager
def up(machine: Machine, peer: str) -> Iterator[Program]:
    with machine.running("up", f"toxvpn up --peer {peer}") as program:
        yield program


def direct(hosts: Hosts) -> None:
    laptop = hosts.laptop.machine
    show(laptop, "toxvpn wait --direct")
    with step("the path is direct, through both NATs") as told:
        laptop.run(
            f"toxvpn wait --direct --timeout {PATIENCE_S} {hosts.server.tox_id}", timeout_s=PATIENCE_S + 60
        )
        told.found = hosts.path()


def printed_id(program: Program) -> str | None:
    found = TOX_ID.search(program.log())
    return found[0] if found else None
