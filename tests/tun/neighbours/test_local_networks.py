import socket
import subprocess
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from toxvpn.errors import ConfigError
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tun.host.kernel import read_tables
from toxvpn.tun.host.netlink import Netlink
from toxvpn.tun.neighbours.local_networks import LocalNetwork, check_requested, local_networks

pytestmark = pytest.mark.real

LINES = """
ip link set lo up
ip link add eth0 type veth peer name wire0
ip link set eth0 up
ip link set wire0 up
ip addr add 192.168.1.5/24 dev eth0
ip addr add 172.16.0.1 peer 172.16.0.2/32 dev eth0
ip route add default via 192.168.1.1
ip route add 128.0.0.0/1 via 192.168.1.2
ip route add 64.0.0.0/3 via 192.168.1.2
ip route add 10.20.0.0/16 via 192.168.1.3
ip route add 100.99.98.97/32 dev eth0 table 52
ip route add 10.30.0.0/16 nexthop via 192.168.1.6 nexthop via 192.168.1.7
ip route add blackhole 10.40.0.0/16
ip route add local 10.50.0.0/16 dev lo
ip link add office type bridge
ip addr add 10.60.0.1/24 dev office
ip link add tox0 type bridge
ip link set tox0 up
ip addr add 100.64.1.1/32 dev tox0
ip route add 100.64.1.2/32 dev tox0
ip link add tox1 type bridge
ip link set tox1 up
ip addr add fd74:6f78::1/128 dev tox1 nodad
ip addr add 100.64.2.1/32 dev tox1
ip route add 100.64.2.2/32 dev tox1
"""


def local_there(files: list[Path], ignore: str = "tox0", index_of: str = "") -> list[tuple[str, str, bool]]:
    def scene() -> list[tuple[str, str, bool]]:
        for line in LINES.strip().splitlines():
            subprocess.run(line.split(), check=True)
        index = socket.if_nametoindex(index_of) if index_of else None
        with Netlink() as net:
            local = local_networks(net.call(lambda route: read_tables(route, index)), {ignore}, files)
        return [(str(each.network), each.what, each.isolated) for each in local]

    return in_new_netns(scene)


@pytest.mark.skipif(not have_namespaces(), reason="needs root and network namespaces")
def test_it_sees_what_others_use(tmp_path: Path) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_bytes(
        b"# nameserver 1.2.3.4\nnameserver 10.0.0.53\nnameserver fd00::53\nnameserver\n\xff\n"
        b"nameserver 100.64.1.1\n"  # our own
    )
    local = local_there([resolver, tmp_path / "none"])
    by_network: dict[str, set[bool]] = {}
    for network, _, isolated in local:
        by_network.setdefault(network, set()).add(isolated)
    assert (
        by_network.items()
        >= {
            "192.168.1.0/24": {False},
            "172.16.0.2/32": {False},
            "10.20.0.0/16": {False},
            "100.99.98.97/32": {False},  # in whatever table
            "10.30.0.0/16": {False},
            "10.50.0.0/16": {False},
            "10.60.0.0/24": {False},  # though the link is down
            "192.168.1.1/32": {True},
            "192.168.1.2/32": {True},
            "192.168.1.3/32": {True},
            "192.168.1.6/32": {True},
            "192.168.1.7/32": {True},
            "10.0.0.53/32": {True},
            "100.64.2.1/32": {True},  # of another network of toxvpn
            "100.64.2.2/32": {True},
        }.items()
    )
    ours_or_no_use = {
        "0.0.0.0/0",
        "128.0.0.0/1",
        "64.0.0.0/3",
        "10.40.0.0/16",
        "100.64.1.1/32",
        "100.64.1.2/32",
    }
    assert not ours_or_no_use & by_network.keys()
    uses = {(network, what) for network, what, _ in local}
    assert ("192.168.1.0/24", "of the interface eth0") in uses
    assert ("10.20.0.0/16", "of a route through eth0") in uses
    assert ("10.0.0.53/32", f"of a name server in {resolver}") in uses
    assert ("100.64.1.1/32", f"of a name server in {resolver}") not in uses


@pytest.mark.skipif(not have_namespaces(), reason="needs root and network namespaces")
def test_our_link_is_known_by_its_index_while_its_name_changes() -> None:
    assert local_there([], "its old name", index_of="tox0") == local_there([])


def test_a_requested_address_is_used_or_refused_with_the_reason() -> None:
    office = [LocalNetwork(IPv4Network("10.0.0.0/8"), "of the interface eth0")]
    check_requested(IPv4Address("192.168.7.2"), office)
    for address, reason in (
        ("10.203.0.2", r"10\.203\.0\.2 lies in 10\.0\.0\.0/8 of the interface eth0"),
        ("9.9.9.9", "a public address"),
        ("224.0.0.1", "cannot be a host's address"),
    ):
        with pytest.raises(ConfigError, match=reason):
            check_requested(IPv4Address(address), office)
