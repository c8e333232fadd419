"""Two sites, each a router with two hosts that know nothing of Tox: they reach each other through the VPN."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from vpns import CONNECTING_S, INTERFACE, Machine, arrives_unchanged, network_of

from lab import Host, Lab, Site, wait_until

LANS = (("192.168.10.0/24", "fd00:10::/64"), ("192.168.20.0/24", "fd00:20::/64"))
NOISE = os.urandom(10_000_000)
MTU, NARROW = 1368, 1280
BOTH = pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
HEADERS = (20 + 8, 40 + 8)  # before what a ping carries
SWITCHES = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/eth0/accept_ra")


@dataclass(frozen=True)
class Place:
    site: Site
    hosts: tuple[Host, Host]
    machine: Machine

    def routes(self, other: "Place") -> dict[str, dict[str, Any]]:
        """The networks behind the other one, as `toxvpn status --json` has them."""
        return {each["network"]: each for each in self.machine.sees(other.machine.public_key)["routes"]}

    def uses(self, other: "Place", *networks: str) -> bool:
        return {name for name, each in self.routes(other).items() if each["used"]} == set(networks)

    def until_it_uses(self, other: "Place", *networks: str) -> None:
        self.machine.until(lambda: self.uses(other, *networks), f"use of {networks}: {self.routes(other)}")


@dataclass(frozen=True)
class Sites:
    a: Place
    b: Place


def address(host: Host, family: int) -> str:
    found = (host.ipv4, host.ipv6)[family]
    assert found is not None
    return found


def traces(host: Host) -> dict[str, str]:
    """All that forwarding could change there."""
    sysctls = {key: host.call(Path("/proc/sys", key).read_text) for key in SWITCHES}
    return {**network_of(host), **sysctls, "nft": host.run(["nft", "list", "ruleset"]).stdout}


def configuration(lans: tuple[str, str], other: Machine, more: str = "") -> str:
    allow = ", ".join((f'"{lans[0]}:*"', f'"[{lans[1]}]:*"', '"localhost:*"'))
    return (
        f"[vpn]\nadvertise = {json.dumps(lans)}\n{more}\n"
        f'[peers.other]\nid = "{other.tox_id}"\nroutes = "all"\nallow = [{allow}]\n'
    )


@pytest.fixture(scope="module")
def sites(_shared_network: Lab) -> Iterator[Sites]:
    lab = _shared_network
    routers = [lab.site(name, *lans) for name, lans in zip(("sitea", "siteb"), LANS, strict=True)]
    hosts = [(site.host(f"{site.name}1"), site.host(f"{site.name}2")) for site in routers]
    for site in routers:
        site.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=1"])
    before = [traces(site) for site in routers]
    machines = [Machine(lab, site) for site in routers]
    a, b = (Place(*each) for each in zip(routers, hosts, machines, strict=True))
    for own, other, lans, more in ((a, b, LANS[0], ""), (b, a, LANS[1], f"snat = false\nmtu = {NARROW}")):
        (own.machine.directory / "config.toml").write_text(configuration(lans, other.machine, more))
        own.machine.start()
    for place in (a, b):
        place.machine.wait("--direct")
    a.until_it_uses(b, *LANS[1])
    b.until_it_uses(a, *LANS[0])
    yield Sites(a, b)
    for place, found in zip((a, b), before, strict=True):
        assert place.machine.stop() == 0
        assert traces(place.site) == found
        for host in (place.site, *place.hosts):
            lab.remove(host)


@BOTH
def test_every_host_reaches_every_host(sites: Sites, family: int) -> None:
    for one, other in product(sites.a.hosts, sites.b.hosts):
        wait_until(lambda: one.ping(address(other, family), timeout_s=0.5), "answer")  # noqa: B023
        assert other.ping(address(one, family))


@BOTH
@pytest.mark.parametrize("to_b", [True, False], ids=["to the one without masquerade", "to the other"])
def test_whose_address_a_connection_comes_from(sites: Sites, family: int, to_b: bool) -> None:
    client, server = sites.a.hosts[0], sites.b.hosts[0]
    router = sites.b.site
    if not to_b:
        client, server, router = server, client, sites.a.site
    with (
        server.call(socket.create_server, (address(server, family), 7), family=kind(family)) as listener,
        client.connect(address(server, family), 7),
        listener.accept()[0] as accepted,
    ):
        came_from = accepted.getpeername()[0]
    behind = str((router.lan4, router.lan6)[family][1])
    assert came_from == (address(client, family) if to_b else behind)


def kind(family: int) -> int:
    return (socket.AF_INET, socket.AF_INET6)[family]


@BOTH
@pytest.mark.parametrize("to_b", [True, False], ids=["to the narrow one", "from it"])
def test_a_large_transfer_between_hosts_of_mtu_1500(sites: Sites, family: int, to_b: bool) -> None:
    sender, receiver = (sites.a, sites.b) if to_b else (sites.b, sites.a)
    client, server = sender.hosts[1], receiver.hosts[1]
    assert "mtu 1500 " in client.run(["ip", "link", "show", "eth0"]).stdout

    def too_big() -> int:
        return int(sender.machine.sees(receiver.machine.public_key)["drops"].get("too_big", 0))

    before = too_big()
    with arrives_unchanged(server, NOISE), client.connect(address(server, family), 7) as sock:
        sock.settimeout(CONNECTING_S)
        mss = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        assert mss <= NARROW - HEADERS[family]
        sock.sendall(NOISE)
    assert too_big() == before


@BOTH
@pytest.mark.parametrize("largest", [NARROW, MTU], ids=["for the path", "for the device"])
def test_a_host_behind_the_router_is_told_what_fits(sites: Sites, family: int, largest: int) -> None:
    """By the router's kernel, which knows the device, or by toxvpn, which knows the peer."""
    client, server = sites.a.hosts[0], sites.b.hosts[0]
    size = largest + 1 - HEADERS[family] if largest == NARROW else 1500 - HEADERS[family]
    client.run(["ip", "route", "flush", "cache"])
    client.run(["ip", "-6", "route", "flush", "cache"])
    ping = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", str(size), address(server, family)]
    said = client.run(ping, check=False).stdout
    assert re.search(rf"mtu ?= ?{largest}\b", said), said


@BOTH
def test_large_datagrams_arrive_in_fragments(sites: Sites, family: int) -> None:
    client, server = sites.a.hosts[1], sites.b.hosts[1]
    with (
        server.socket(kind(family), socket.SOCK_DGRAM) as receiver,
        client.socket(kind(family), socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((address(server, family), 9))
        receiver.settimeout(0.5)
        receiver.setblocking(False)

        def arrives() -> bool:
            sender.sendto(NOISE[:4000], (address(server, family), 9))
            try:
                return receiver.recv(65536) == NOISE[:4000]
            except BlockingIOError:
                return False

        wait_until(arrives, "whole datagram")  # IPv6 hosts learn what fits from the first one


def test_the_routers_themselves_reach_the_hosts(sites: Sites) -> None:
    for family in (0, 1):
        assert sites.a.site.ping(address(sites.b.hosts[0], family))


def test_a_peer_sends_from_what_it_was_granted_and_from_nothing_else(sites: Sites) -> None:
    """A third network behind b, which a has not been told of."""
    b, target = sites.b, sites.a.hosts[0]
    b.site.run(["ip", "address", "add", "192.168.30.1/24", "dev", "lan"])
    before = sites.a.machine.sees(b.machine.public_key)["drops"].get("source_not_allowed", 0)
    ping = ["ping", "-c", "1", "-W", "0.5", address(target, 0), "-I"]
    assert "0 received" in b.site.run([*ping, "192.168.30.1"], check=False).stdout
    assert "1 received" in b.site.run([*ping, "192.168.20.1"]).stdout
    assert sites.a.machine.sees(b.machine.public_key)["drops"]["source_not_allowed"] == before + 1
    b.site.run(["ip", "address", "del", "192.168.30.1/24", "dev", "lan"])


def test_a_lan_that_comes_to_overlap_has_its_network_back_at_once(sites: Sites) -> None:
    a, b = sites.a, sites.b
    a.site.run(["ip", "address", "add", "192.168.20.77/25", "dev", "lan"])
    a.until_it_uses(b, LANS[1][1])
    assert a.routes(b)[LANS[1][0]]["problem"] == "it overlaps 192.168.20.0/25, a route through lan"
    assert "dev lan" in a.site.run(["ip", "route", "get", address(b.hosts[0], 0)]).stdout
    a.site.run(["ip", "address", "del", "192.168.20.77/25", "dev", "lan"])
    a.until_it_uses(b, *LANS[1])
    wait_until(lambda: a.hosts[0].ping(address(b.hosts[0], 0)), "answer", 5)


def test_routes_are_changed_by_a_reload(sites: Sites) -> None:
    a, b = sites.a, sites.b
    path = a.machine.directory / "config.toml"
    text = path.read_text()
    path.write_text(text.replace('routes = "all"', 'routes = ["192.168.20.2/32", "10.7.0.0/16"]'))
    a.machine.toxvpn("reload")
    assert a.uses(b, "192.168.20.2/32")
    assert a.routes(b)["10.7.0.0/16"]["problem"] == "it does not offer this network"
    assert a.hosts[0].ping(address(b.hosts[0], 0))
    assert a.hosts[0].ping(address(b.hosts[1], 0), timeout_s=0.5) == []
    path.write_text(text)
    a.machine.toxvpn("reload")
    assert a.uses(b, *LANS[1])
    refused = a.machine.toxvpn("peer", "route", "other", "none", check=False)
    assert "config.toml says which routes of other are used" in refused.stderr


def test_who_has_no_allow_answers_and_begins_nothing(sites: Sites) -> None:
    a, b = sites.a, sites.b
    path = a.machine.directory / "config.toml"
    text = path.read_text()
    path.write_text(re.sub("allow = .*", "", text))
    a.machine.toxvpn("reload")
    dropped = a.machine.sees(b.machine.public_key)["drops"].get("policy", 0)
    for family in (0, 1):
        assert b.hosts[0].ping(address(a.hosts[0], family), timeout_s=0.3) == []
        assert a.hosts[0].ping(address(b.hosts[0], family))
        with arrives_unchanged(b.hosts[0], NOISE), a.hosts[0].connect(address(b.hosts[0], family), 7) as sock:
            sock.sendall(NOISE)
    assert b.site.ping(a.machine.ipv4), "this machine itself is open"
    assert a.machine.sees(b.machine.public_key)["drops"]["policy"] == dropped + 2
    path.write_text(text)
    a.machine.toxvpn("reload")
    assert b.hosts[0].ping(address(a.hosts[0], 0))


def test_what_a_killed_one_left_is_taken_back_by_the_next(sites: Sites) -> None:
    a, b = sites.a, sites.b
    a.machine.stop(signal.SIGKILL)
    assert "masquerade" in traces(a.site)["nft"]
    path = a.machine.directory / "config.toml"
    text = path.read_text()
    path.write_text("[vpn]\n" + text.partition("\n\n")[2])  # without advertise
    a.machine.start()
    left = traces(a.site)
    assert (left["nft"], *(left[key].strip() for key in SWITCHES)) == ("", "0", "0", "1")
    path.write_text(text)
    a.machine.stop()
    a.machine.start()
    a.until_it_uses(b, *LANS[1])
    assert (traces(a.site)[SWITCHES[0]], traces(a.site)[SWITCHES[2]]) == ("1\n", "2\n")
    wait_until(lambda: a.hosts[0].ping(address(b.hosts[0], 1), timeout_s=0.5), "answer", CONNECTING_S)
    assert INTERFACE in a.site.run(["ip", "route", "get", address(b.hosts[0], 0)]).stdout
