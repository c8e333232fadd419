"""toxvpn beside other VPNs and bridges, on one side or both, that come and go while it runs; real toxcore."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest
from neighbours import (
    DOCKER,
    LIBVIRT,
    NETBIRD,
    TAILSCALE,
    TAILSCALE_CGNAT,
    TAILSCALE_EXIT,
    TAILSCALE_SUBNET,
    WG_QUICK,
    Neighbour,
    lan,
)
from vpns import Machine, connected, network_of

from lab import Lab
from lab.require import require
from toxvpn.wire.addressing import RANGES

USUAL, SECOND, THIRD = range(len(RANGES))


@dataclass(frozen=True)
class Pair:
    """Two machines, connected, and the network of the first as it was before."""

    alice: Machine
    bob: Machine
    before: dict[str, str]

    @property
    def ways(self) -> list[tuple[Machine, Machine]]:
        return [(self.alice, self.bob), (self.bob, self.alice)]

    def meet(self, number: int) -> None:
        """Wait until each reaches the other by the addresses that `status` shows, IPv4 in that range."""
        for one, other in self.ways:

            def reached(one: Machine = one, other: Machine = other) -> bool:
                seen = one.sees(other.public_key)
                answers = [one.host.ping(seen[version], timeout_s=0.2) for version in ("ipv4", "ipv6")]
                return all(answers) and range_number(seen["ipv4"]) == number

            one.until(reached, f"both answers to {one.host.name}, in range {number}", 5)


def range_number(address: str) -> int:
    return next(number for number, network in enumerate(RANGES) if IPv4Address(address) in network)


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    require("ping", "ip", "nft")
    lab = _shared_network
    nats = lab.nat("office"), lab.nat("home")
    alice, bob = (Machine(lab, nat.host(name)) for nat, name in zip(nats, ("alice", "bob"), strict=True))
    before = network_of(alice.host)
    connected(alice, bob, arguments={"alice": ("--advertise", "192.168.77.0/24")})
    yield Pair(alice, bob, before)
    for host in (alice.host, bob.host, *nats):
        lab.remove(host)


CASES: dict[str, tuple[list[Neighbour], list[Neighbour], int]] = {
    "Tailscale here": ([TAILSCALE], [], SECOND),
    "Tailscale there": ([], [TAILSCALE_CGNAT], SECOND),
    "Tailscale on both": ([TAILSCALE], [TAILSCALE_CGNAT], SECOND),
    "a subnet router of Tailscale's": ([TAILSCALE_SUBNET], [TAILSCALE], THIRD),
    "an exit node of Tailscale's": ([TAILSCALE_EXIT], [], SECOND),
    "NetBird here, Tailscale there": ([NETBIRD], [TAILSCALE], SECOND),
    "a full tunnel": ([WG_QUICK], [], USUAL),
    "a full tunnel here, Tailscale there": ([WG_QUICK], [TAILSCALE], THIRD),
    "Docker and libvirt": ([DOCKER, LIBVIRT], [DOCKER], USUAL),
    "a LAN that overlaps": ([lan("100.64.0.1/10")], [], SECOND),
    "a LAN and Tailscale": ([lan("10.64.0.1/10")], [TAILSCALE], THIRD),
}


@pytest.mark.parametrize("case", CASES)
def test_both_families_work_beside(pair: Pair, case: str) -> None:
    here, there, number = CASES[case]
    with ExitStack() as started:
        for machine, neighbours in ((pair.alice, here), (pair.bob, there)):
            for neighbour in neighbours:
                started.callback(neighbour.on(machine.host).stop)
        pair.meet(number)
    pair.meet(USUAL)


def test_status_says_what_moved_and_why(pair: Pair) -> None:
    tailscale = TAILSCALE.on(pair.alice.host)
    try:
        pair.meet(SECOND)
        why = "this machine uses 100.101.102.103/32 of the interface tailscale0"
        [moved] = pair.alice.status()["self"]["moved"]
        assert moved == f"{pair.alice.ipv4} instead of an address in {RANGES[0]}: {why}"
        bob = pair.alice.sees(pair.bob.public_key)
        assert bob["address_moved"] == f"{bob['ipv4']} instead of {pair.bob.ipv4}: {why}"
        assert f"toxvpn0: {moved}" in pair.alice.log
        there = pair.bob.sees(pair.alice.public_key)["address_moved"]
        assert there.endswith("its machine uses that range for something else")
    finally:
        tailscale.stop()
    pair.meet(USUAL)


def device_of(machine: Machine) -> str:
    """Its present name."""
    [name] = re.findall("(toxvpn0|office):", machine.host.run(["ip", "-o", "link"]).stdout)
    return str(name)


def ours(machine: Machine) -> dict[str, list[str]]:
    """Everything in the machine's network that is of its toxvpn."""
    run = machine.host.run
    device = device_of(machine)
    tables = ("route show table all", "rule")
    lists = [f"-N {family} {table}" for family in ("-4", "-6") for table in tables]
    shown = {words: run(["ip", *words.split()]).stdout.split("\n") for words in lists}
    nft = run(["nft", "-s", "list", "ruleset"]).stdout.split("table ")
    return {
        **{words: sorted(line for line in lines if "proto 116" in line) for words, lines in shown.items()},
        "addresses": re.findall(r"inet6? (\S+) scope global", run(["ip", "addr", "show", device]).stdout),
        "nft": sorted(table for table in nft if "toxvpn" in table),
        "sysctl": [run(["sysctl", "net.ipv4.ip_forward"]).stdout],
    }


def renamed(whole: dict[str, list[str]], machine: Machine) -> dict[str, list[str]]:
    """The same, with the device's present name."""
    device = device_of(machine)
    return {
        what: [re.sub(r"(dev |iif \"|oif != \")toxvpn0", rf"\1{device}", line) for line in lines]
        for what, lines in whole.items()
    }


DISTURBANCES = [
    "ip addr flush dev toxvpn0",
    "ip route flush proto 116; ip -6 route flush proto 116",
    "ip rule del priority 100; ip -6 rule del priority 100",
    "sysctl -qw net.ipv4.ip_forward=0",
    "nft delete table inet toxvpn_subnets_toxvpn0",
    "nft flush chain inet toxvpn_subnets_toxvpn0 postrouting",
    "ip link set toxvpn0 down; ip link set toxvpn0 up",
    "ip link set toxvpn0 down; ip link set toxvpn0 name office; ip link set office up",
    "ip link set office down; ip link set office name toxvpn0; ip link set toxvpn0 up",
]
BACK_S = 2.0


def test_what_others_take_away_is_back_within_2_s(pair: Pair) -> None:
    """With rules of ours too: there are some beside an exit node of Tailscale's."""
    alice = pair.alice
    tailscale = TAILSCALE_EXIT.on(alice.host)
    try:
        pair.meet(SECOND)
        whole = ours(alice)
        assert all(whole.values()) and len(whole["nft"]) == 1
        for disturbance in DISTURBANCES:
            said = alice.log.count("put back: ")
            for line in disturbance.split("; "):
                alice.host.run(line.split())
            alice.until(lambda: ours(alice) == renamed(whole, alice), f"all back after {disturbance}", BACK_S)
            assert alice.log.count("put back: ") == said + 1, "one line"
        pair.meet(SECOND)
    finally:
        tailscale.stop()
    names = re.findall(r"WARNING: (.*) changed the network of toxvpn0; put back", alice.log)
    assert len(names) == len(DISTURBANCES) - 1
    pair.meet(USUAL)


def test_a_fight_ends_in_a_line_that_names_the_program(pair: Pair) -> None:
    alice = pair.alice
    fighter = alice.host.popen(["sh", "-c", "while :; do ip -4 addr flush dev toxvpn0; sleep 0.02; done"])
    alice.until(lambda: "keeps undoing" in alice.log, "an end of the fight", 20)
    alice.host.stop(fighter)
    [line] = [line for line in alice.log.splitlines() if "keeps undoing" in line]
    named = r"WARNING: (probably ip|ip|a program that has ended) \(process \d+.*\) keeps undoing "
    assert re.search(named + ".* for 5 minutes, without ", line)


def test_what_was_there_first_is_as_good(pair: Pair) -> None:
    assert pair.alice.stop() == 0
    tailscale = TAILSCALE_EXIT.on(pair.alice.host)
    try:
        pair.alice.start("--peer", pair.bob.tox_id)
        pair.alice.wait()
        pair.meet(SECOND)
        assert pair.alice.stop() == 0
    finally:
        tailscale.stop()
    assert network_of(pair.alice.host) == pair.before
