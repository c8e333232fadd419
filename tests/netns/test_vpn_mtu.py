"""Two machines that have chosen addresses in a network of their own; one takes smaller packets."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from vpns import CONNECTING_S, INTERFACE, Machine, arrives_unchanged, connected

from lab import Lab

CHOSEN = ("10.203.0.8/24", "10.203.0.9/24")
WIDE, NARROW = 1368, 1280
BOTH = pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
HEADERS = (20 + 8, 40 + 8)  # before what a ping carries
NOISE = os.urandom(10_000_000)


@dataclass(frozen=True)
class Pair:
    wide: Machine
    narrow: Machine


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    lab = _shared_network
    hosts = [lab.host(name, ipv6=False) for name in ("wide", "narrow")]
    both = [Machine(lab, host) for host in hosts]
    arguments = {"wide": ("--address", CHOSEN[0]), "narrow": ("--mtu", str(NARROW), "--address", CHOSEN[1])}
    connected(*both, arguments=arguments)
    both[0].wait("--direct")
    yield Pair(*both)
    for host in hosts:
        lab.remove(host)


def test_chosen_addresses_in_the_same_network_need_no_further_word(pair: Pair) -> None:
    for one, other, chosen in zip((pair.wide, pair.narrow), (pair.narrow, pair.wide), CHOSEN, strict=True):
        assert f"{one.ipv4}/24" == chosen
        assert other.sees(one.public_key)["ipv4"] == one.ipv4


def test_the_device_has_the_mtu_that_was_asked_for(pair: Pair) -> None:
    for machine, mtu in ((pair.wide, WIDE), (pair.narrow, NARROW)):
        assert f"mtu {mtu} " in machine.host.run(["ip", "link", "show", INTERFACE]).stdout


@BOTH
def test_a_packet_too_big_for_the_other_is_answered(pair: Pair, family: int) -> None:
    before = pair.wide.sees(pair.narrow.public_key)["drops"].get("too_big", 0)
    largest = NARROW - HEADERS[family]
    ping = ["ping", "-c", "1", "-W", "2", "-M", "do", pair.narrow.addresses[family], "-s"]
    assert "1 received" in pair.wide.host.run([*ping, str(largest)]).stdout
    said = pair.wide.host.run([*ping, str(largest + 1)], check=False)
    assert f"mtu = {NARROW}" in said.stdout or f"mtu={NARROW}" in said.stdout, said
    assert pair.wide.sees(pair.narrow.public_key)["drops"]["too_big"] == before + 1


@BOTH
@pytest.mark.parametrize("to_the_narrow", [True, False], ids=["to the narrow one", "from it"])
def test_tcp_agrees_on_segments_that_fit(pair: Pair, family: int, to_the_narrow: bool) -> None:
    machines = [pair.wide, pair.narrow] if to_the_narrow else [pair.narrow, pair.wide]
    sender, receiver = machines

    def too_big() -> int:
        return int(sender.sees(receiver.public_key)["drops"].get("too_big", 0))

    before = too_big()
    address = receiver.addresses[family]
    with arrives_unchanged(receiver.host, NOISE), sender.host.connect(address, 7) as sock:
        sock.settimeout(CONNECTING_S)
        mss = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        assert mss <= NARROW - HEADERS[family] - 12 + 8
        sock.sendall(NOISE)
    assert too_big() == before
