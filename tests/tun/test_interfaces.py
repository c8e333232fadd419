import subprocess
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from pathlib import Path

import pytest

from toxvpn.errors import ConfigError
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tun.interfaces import LocalNetwork, choose_ipv4, local_networks, overlapping
from toxvpn.wire.addressing import RANGES, ipv4_candidates

KEY = bytes(range(32))


def local(*networks: str) -> list[LocalNetwork]:
    return [
        LocalNetwork(f"eth{index}", ip_network(network).network_address, ip_network(network))
        for index, network in enumerate(networks)
    ]


@pytest.mark.skipif(not have_namespaces(), reason="needs root and network namespaces")
def test_it_sees_what_the_kernel_has() -> None:
    def scene() -> list[LocalNetwork]:
        Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode").write_text("1")
        for line in (
            "ip link add eth0 type bridge",
            "ip addr add 192.168.1.5/24 dev eth0",
            "ip addr add 10.9.8.7/32 dev eth0",
            "ip link set eth0 up",
            "ip addr add 2001:db8::5/64 dev eth0 nodad",
            "ip link add tox0 type bridge",
            "ip addr add 100.64.1.1/32 dev tox0",
        ):
            subprocess.run(line.split(), check=True)
        return local_networks(ignore={"tox0", "lo"})

    networks = [(entry.interface, str(entry.address), str(entry.network)) for entry in in_new_netns(scene)]
    assert sorted(networks) == [
        ("eth0", "10.9.8.7", "10.9.8.7/32"),
        ("eth0", "192.168.1.5", "192.168.1.0/24"),
        ("eth0", "2001:db8::5", "2001:db8::/64"),
    ]


def test_the_first_candidate_is_taken_where_nothing_is_in_the_way() -> None:
    assert choose_ipv4(KEY, local("192.168.1.0/24", "fd00::/8")) == next(ipv4_candidates(KEY))


def test_an_overlap_moves_us_to_another_range() -> None:
    assert choose_ipv4(KEY, local("100.100.0.0/24")) in RANGES[1]
    assert choose_ipv4(KEY, local("100.64.0.0/10", "10.0.0.0/8")) in RANGES[2]
    assert choose_ipv4(KEY, local("100.64.0.0/10", "10.0.0.0/8", "198.18.5.0/24")) is None


def test_taken_addresses_are_passed_over() -> None:
    first, second, *_ = ipv4_candidates(KEY)
    assert choose_ipv4(KEY, [], taken={first}) == second


def test_a_requested_address_is_used_or_refused_with_the_reason() -> None:
    wish = IPv4Address("10.203.0.2")
    assert choose_ipv4(KEY, local("192.168.1.0/24"), requested=wish) == wish
    with pytest.raises(ConfigError, match=r"10\.203\.0\.2 lies in 10\.0\.0\.0/8 of the interface eth0"):
        choose_ipv4(KEY, local("10.0.0.0/8"), requested=wish)
    with pytest.raises(ConfigError, match="a public one"):
        choose_ipv4(KEY, [], requested=IPv4Address("9.9.9.9"))
    with pytest.raises(ConfigError, match="no host's"):
        choose_ipv4(KEY, [], requested=IPv4Address("224.0.0.1"))


def test_overlaps_are_of_one_family() -> None:
    networks = local("10.0.0.0/8", "2001:db8::/32")
    assert overlapping(IPv4Network("10.1.0.0/16"), networks) == networks[0]
    assert overlapping(IPv6Network("2001:db8:5::/48"), networks) == networks[1]
    assert overlapping(IPv6Network("::a00:0/104"), networks) is None
