"""Which of our destinations another program's rules divert; the kernel's tables are plain values."""

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.tun.host.changes import MAIN_TABLE, PROTOCOL
from toxvpn.tun.host.kernel import KernelTables, PolicyRule, Route
from toxvpn.tun.neighbours.precedence import diverted

PEER, PEER6 = IPv4Network("10.68.169.121/32"), IPv6Network("fd74:6f78:1::1/128")
LAN = IPv4Network("192.168.10.0/24")
LOCAL = PolicyRule(0, 255, "0.0.0.0/0", 2)
MAIN = PolicyRule(32766, MAIN_TABLE, "0.0.0.0/0", 2)
MAIN_FIRST = PolicyRule(105, MAIN_TABLE, "0.0.0.0/0", 0)
"""As NetBird and wg-quick have it, with suppress_prefixlength 0."""
TAILSCALE = [
    PolicyRule(5210, MAIN_TABLE, "0.0.0.0/0", 0, selective=True),
    PolicyRule(5230, 253, "0.0.0.0/0", 0, selective=True),
    PolicyRule(5270, 52, "0.0.0.0/0", 0),
]


def route(destination: str, table: int = 52, kind: int = 1, protocol: int = 3) -> Route:
    return Route(destination, kind, table, protocol, None, (9,), ())


def tables(rules: list[PolicyRule], *routes: Route) -> KernelTables:
    both = [LOCAL, MAIN, *rules]
    six = [
        PolicyRule(rule.priority, rule.table, "::/0", rule.protocol, None, rule.selective) for rule in both
    ]
    return KernelTables(None, frozenset(), routes, (*both, *six))


@pytest.mark.parametrize(
    ("destination", "taken"),
    [
        ("0.0.0.0/0", [PEER, LAN]),  # an exit node
        ("::/0", [PEER6]),
        ("10.0.0.0/8", [PEER]),  # a subnet router
        ("0.0.0.0/1", [PEER]),  # half of a default route
        ("192.168.0.0/16", [LAN]),
        ("192.168.10.0/24", [LAN]),
        ("192.168.10.7/32", []),  # a host of theirs
        ("100.88.77.66/32", []),
        ("fd7a:115c:a1e0::/48", []),
    ],
)
def test_what_covers_ours_takes_it(destination: str, taken: list[object]) -> None:
    assert diverted([PEER, PEER6, LAN], tables(TAILSCALE, route(destination))) == taken


def test_a_table_that_no_rule_names_before_main_takes_nothing() -> None:
    everything = route("0.0.0.0/0", 52), route("0.0.0.0/0", MAIN_TABLE)
    assert diverted([PEER], tables([], *everything)) == []
    assert diverted([PEER], tables([PolicyRule(33000, 52, "0.0.0.0/0", 0)], *everything)) == []


def test_where_main_comes_first_ours_win_already() -> None:
    theirs = PolicyRule(110, 7120, "0.0.0.0/0", 0, selective=True)
    assert diverted([PEER], tables([MAIN_FIRST, theirs], route("0.0.0.0/0", 7120))) == []
    assert diverted([PEER], tables([theirs], route("0.0.0.0/0", 7120))) == [PEER]


def test_our_own_rules_and_routes_and_throw_routes_take_nothing() -> None:
    ours = PolicyRule(5000, 77, "0.0.0.0/0", PROTOCOL)
    assert diverted([PEER], tables([ours], route("0.0.0.0/0", 77))) == []
    assert diverted([PEER], tables(TAILSCALE, route("0.0.0.0/0", protocol=PROTOCOL))) == []
    assert diverted([PEER], tables(TAILSCALE, route("10.0.0.0/8", kind=9))) == []
    assert diverted([PEER], tables(TAILSCALE, route("0.0.0.0/0", kind=7))) == [PEER]


networks = st.builds(
    lambda number, length: ip_network((number >> (32 - length) << (32 - length), length)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.lists(networks, max_size=8), st.lists(networks, max_size=8))
def test_it_is_what_the_definition_says(ours: list[IPv4Network], theirs: list[IPv4Network]) -> None:
    found = diverted(ours, tables(TAILSCALE, *(route(str(each)) for each in theirs)))
    assert found == [each for each in ours if any(each.subnet_of(other) for other in theirs)]
