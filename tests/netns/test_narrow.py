"""A link of 1280 bytes between routers that do not tell of what they drop, as LTE has them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from forwards import DIRECT, SECRET, Client, Server, private_directory
from vpns import CONNECTING_S, Machine, arrives_unchanged, connected

from lab import Host, Lab, wait_until

LINK_MTU = 1280
LARGEST_INNER = LINK_MTU - 20 - 8 - 27 - 5
"""The size that fits behind the headers of IPv4 and UDP, toxcore's and ours; found within 8 bytes."""
NOISE = os.urandom(2_000_000)


@dataclass(frozen=True)
class Pair:
    inside: Machine
    outside: Machine


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    lab = _shared_network
    nat = lab.nat("narrow")
    assert nat.uplink
    nat.uplink.narrow(LINK_MTU)
    hosts = [nat.host("inside"), lab.host("outside")]
    both = [Machine(lab, host) for host in hosts]
    connected(*both)
    both[0].wait("--direct")
    yield Pair(*both)
    for host in (*hosts, nat):
        lab.remove(host)


def transfer(sender: Host, receiver: Host, address: str, port: int) -> None:
    """Sends NOISE to that address and port, where the receiver listens, and has it come out whole."""
    with arrives_unchanged(receiver, NOISE), sender.connect(address, port) as sock:
        sock.settimeout(CONNECTING_S)
        sock.sendall(NOISE)


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("outbound", [True, False], ids=["out", "in"])
def test_the_vpn_carries_more_than_small_pings(pair: Pair, outbound: bool, family: int) -> None:
    """The kernel learns from the first large one, and sends the second in pieces."""
    sender, receiver = (pair.inside, pair.outside) if outbound else (pair.outside, pair.inside)
    ping = ["ping", "-c", "10", "-i", "0.2", "-W", "1", "-s", "1300", receiver.addresses[family]]
    wait_until(lambda: sender.host.run(ping, check=False).returncode == 0, "an answer to a large ping")
    transfer(sender.host, receiver.host, receiver.addresses[family], 7)


@pytest.mark.parametrize("end", ["inside", "outside"])
def test_status_names_what_the_path_carries(pair: Pair, end: str) -> None:
    here, there = (pair.inside, pair.outside) if end == "inside" else (pair.outside, pair.inside)
    here.until(
        lambda: LARGEST_INNER - 8 < here.sees(there.public_key)["mtu"] <= LARGEST_INNER, "the path's MTU"
    )


def test_the_tuntox_road_too(_shared_network: Lab, pair: Pair) -> None:
    """A tuntox does not acknowledge probes, so routers may cut the packets instead."""
    lab = _shared_network
    server = Server(
        lab,
        pair.outside.host,
        private_directory(pair.outside.host, "server"),
        env={"TOXVPN_SHARED_SECRET": SECRET},
    )
    client = Client(
        lab,
        pair.inside.host,
        "client",
        server.tox_id,
        "-L",
        "7007:localhost:7",
        env={"TOXVPN_SHARED_SECRET": SECRET},
    )
    client.wait_for(DIRECT)
    transfer(pair.inside.host, pair.outside.host, "127.0.0.1", 7007)
    for running in (client, server):
        running.stop()
