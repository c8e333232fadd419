"""Five machines, each the peer of every other: one leaves and returns, and the others do not notice."""

import json
from collections.abc import Iterator
from functools import partial
from itertools import permutations

import pytest
from vpns import Machine, SteadyPing, connected

from lab import Lab

NAMES = ("ann", "ben", "cat", "dan", "eve")


@pytest.fixture(scope="module")
def mesh(_shared_network: Lab) -> Iterator[list[Machine]]:
    lab = _shared_network
    hosts = [lab.host(name, ipv6=False) for name in NAMES]
    machines = [Machine(lab, host) for host in hosts]
    connected(*machines)
    yield machines
    for host in hosts:
        lab.remove(host)


def test_everybody_reaches_everybody(mesh: list[Machine]) -> None:
    addresses = {machine.host.name: machine.addresses for machine in mesh}
    assert len({address for both in addresses.values() for address in both}) == 2 * len(mesh)
    for one, other in permutations(mesh, 2):
        assert one.reaches(*addresses[other.host.name])


def test_one_leaves_and_returns_and_the_others_go_on(mesh: list[Machine]) -> None:
    ann, ben, *_, eve = mesh
    others = [machine for machine in mesh if machine is not eve]
    addresses = eve.addresses
    ann.wait("--direct")
    talk = SteadyPing(ann.host, ben.ipv4)

    assert eve.stop() == 0
    for machine in others:
        machine.until(partial(has_lost, machine, eve), "word that eve has left")
    said = ann.host.run(["ping", "-c", "1", addresses[0]], check=False).stdout
    assert "Destination Host Unreachable" in said, "ICMP, at once"
    assert ann.sees(eve.public_key)["drops"] == {"offline": 1}

    eve.start(*(word for other in others for word in ("--peer", other.tox_id)))
    eve.wait()
    for machine in others:
        machine.wait()
        assert machine.reaches(*addresses)
    assert eve.addresses == addresses

    assert talk.lost() == []
    assert all(machine.up.process.poll() is None for machine in mesh)


def has_lost(machine: Machine, other: Machine) -> bool:
    return not machine.sees(other.public_key)["online"]


def test_five_in_status(mesh: list[Machine]) -> None:
    for machine in mesh:
        peers = json.loads(machine.toxvpn("status", "--json").stdout)["peers"]
        assert {peer["public_key"] for peer in peers} == {
            other.tox_id[:64] for other in mesh if other is not machine
        }
        assert all(peer["online"] and peer["drops"].keys() <= {"offline"} for peer in peers)
