"""Networks as people type them, and which no machine can have behind it."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import UsageError
from toxvpn.wire.routegrant import (
    NO_ROUTES,
    grant_words,
    parse_grant,
    parse_network,
    parse_networks,
    unusable,
)

LAN, LAN6 = IPv4Network("192.168.10.0/24"), IPv6Network("fd00:10::/64")
NETWORKS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(ip_network)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.168.10.0/24", LAN),
        (" fd00:10::/64 ", LAN6),
        ("FD00:10:0::/64", LAN6),
        ("192.168.10.0/255.255.255.0", LAN),
        ("10.1.2.3", IPv4Network("10.1.2.3/32")),
    ],
)
def test_a_network(text: str, network: IPv4Network | IPv6Network) -> None:
    assert parse_network(text) == network


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.168.10.5/24", "192.168.10.5/24 is an address in a network: write 192.168.10.0/24"),
        ("fd00:10::1/64", "fd00:10::1/64 is an address in a network: write fd00:10::/64"),
        ("office", "'office' is not a network such as 192.168.10.0/24 or fd00:10::/64"),
        ("10.0.0.0/33", "'10.0.0.0/33' is not a network"),
        ("", "'' is not a network"),
        ("fd00::%eth0/128", "names an interface"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_network(text)


@given(st.lists(NETWORKS.filter(lambda network: unusable(network) is None)))
def test_a_grant_is_read_as_it_is_written(networks: list[IPv4Network | IPv6Network]) -> None:
    granted = parse_networks(map(str, networks))
    assert parse_grant(grant_words(granted)) == granted == tuple(dict.fromkeys(networks))


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "127.0.0.0/8"])
def test_what_cannot_lie_behind_a_peer_is_not_granted(network: str) -> None:
    with pytest.raises(UsageError, match=f"^{network} cannot lie behind a peer: "):
        parse_grant(["10.0.0.0/8", network])


def test_all_and_none() -> None:
    assert parse_grant(["all"]) == "all" and grant_words("all") == ["all"]
    assert parse_grant(["none"]) == NO_ROUTES and grant_words(NO_ROUTES) == ["none"]
    for words in (["all", "10.0.0.0/8"], ["10.0.0.0/8", "none"], ["all", "none"]):
        with pytest.raises(UsageError, match="stands alone"):
            parse_grant(words)


@pytest.mark.parametrize(
    "network",
    [
        *("0.0.0.0/0", "::/0", "128.0.0.0/1", "2000::/3", "0.0.0.0/8", "127.0.0.0/8", "127.0.0.1/32"),
        *("224.0.0.0/4", "239.1.2.3/32", "169.254.0.0/16", "240.0.0.0/8", "255.255.255.255/32", "::1/128"),
        *("ff02::/16", "fe80::/64", "::/96", "fd74:6f78::/32", "fd74:6f78:1::/48", "fd74::/16", "fd00::/8"),
    ],
)
def test_what_no_machine_can_lead_to(network: str) -> None:
    assert unusable(ip_network(network)) is not None


@pytest.mark.parametrize(
    "network",
    ["10.0.0.0/8", "192.168.10.0/24", "8.8.8.8/32", "100.64.0.0/10", "fd00:10::/64", "2001:db8::/32"],
)
def test_what_one_can_lead_to(network: str) -> None:
    assert unusable(ip_network(network)) is None
