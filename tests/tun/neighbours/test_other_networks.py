"""What this machine uses without the VPN, from routes as the kernel has them."""

from typing import Any

import pytest

from toxvpn.tun.host.kernel import KernelTables, Route
from toxvpn.tun.neighbours.other_networks import interface_name, other_networks

OURS, ETH0, WG0 = 7, 2, 3
NAMES = {OURS: "toxvpn0", ETH0: "eth0", WG0: "wg0"}


def route(destination: str, *interfaces: int, **fields: Any) -> Route:
    usual = {"kind": 1, "table": 254, "protocol": 2, "metric": None, "gateways": ()}
    return Route(destination=destination, interfaces=interfaces, **{**usual, **fields})


def found(*routes: Route) -> dict[str, str]:
    tables = KernelTables(None, frozenset(), routes)
    return {str(each.network): each.what for each in other_networks(tables, OURS, NAMES.__getitem__)}


def test_routes_of_both_families_in_every_table() -> None:
    assert found(
        route("192.168.10.0/24", ETH0),
        route("fd00:10::/64", WG0, table=52),
        route("10.0.0.0/8", WG0, ETH0),
        route("192.168.10.2/32", ETH0, kind=2),
    ) == {
        "192.168.10.0/24": "a route through eth0",
        "fd00:10::/64": "a route through wg0",
        "10.0.0.0/8": "a route through eth0, wg0",
        "192.168.10.2/32": "a route through eth0",
    }


@pytest.mark.parametrize(
    "free",
    [
        route("192.168.20.0/24", OURS),
        route("0.0.0.0/0", ETH0),
        route("128.0.0.0/1", WG0),
        route("::/0", ETH0),
        route("10.0.0.0/8", kind=6),  # a black hole for what is not routed elsewhere
        route("ff00::/8", ETH0, kind=5),
        route("fe80::/64", ETH0),
        route("127.0.0.0/8", 1, kind=2),
    ],
)
def test_what_is_in_nobodys_way(free: Route) -> None:
    assert found(free) == {}


def test_an_interface_that_is_gone_has_a_number() -> None:
    assert interface_name(1) == "lo"
    assert interface_name(1 << 30) == f"interface {1 << 30}"
