"""Reads the kernel's tables: one interface, all addresses, routes and policy rules, through rtnetlink.

In: an IPRoute; out: `KernelTables`, plain values. Neighbours: `local_networks` (finds what others use),
`netconf` (finds what is missing of ours). Attributes are read by the kernel's names for
them, which every pyroute2 from 0.7 on understands; the short ones came with 0.9.
"""

import errno
import socket
from dataclasses import dataclass
from typing import Any

from .pyroute import NetlinkError

IFF_UP = 0x01
GONE = {errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL, errno.ENXIO}
_ANYWHERE = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


FIB_RULE_INVERT = 0x02
SELECTORS = ("FRA_FWMARK", "FRA_IIFNAME", "FRA_OIFNAME", "FRA_UID_RANGE", "FRA_TUN_ID", "FRA_IP_PROTO",
             "FRA_SPORT_RANGE", "FRA_DPORT_RANGE", "FRA_L3MDEV")  # fmt: skip
"""linux/fib_rules.h: besides addresses and the type of service."""
USABLE_KINDS = {1, 2, 3, 4}
"""Kinds of routes that deliver packets: unicast, local, broadcast, anycast (linux/rtnetlink.h RTN_*)."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. `txqlen`: how many packets may wait."""

    index: int
    name: str
    up: bool
    mtu: int
    txqlen: int


@dataclass(frozen=True, slots=True)
class Route:
    """`destination`: a network, such as 10.0.0.0/8. `interfaces`: by index, several for a multipath route."""

    destination: str
    kind: int
    table: int
    protocol: int
    metric: int | None
    interfaces: tuple[int, ...]
    gateways: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """`source`: a network, such as 0.0.0.0/0; `protocol`: who made it, as for a route.

    `destination`: a network, None for any. `selective`: it is for some packets only, by whatever they differ.
    """

    priority: int
    table: int
    source: str
    protocol: int
    destination: str | None = None
    selective: bool = False


@dataclass(frozen=True, slots=True)
class KernelTables:
    """`link` None: there is no such interface. `addresses`: an interface's index and, e.g., 100.64.3.2/32.

    `others`: keys of those of our sysctls and nftables tables that are as we made them (changes.py).
    """

    link: Link | None
    addresses: frozenset[tuple[int, str]]
    routes: tuple[Route, ...]
    rules: tuple[PolicyRule, ...] = ()
    others: frozenset[tuple[str, ...]] = frozenset()


def read_tables(route: Any, index: int | None = None) -> KernelTables:
    """Reads them all. `index`: the interface to read. Takes about 5 ms, 50 ms with a thousand routes.

    To be given to Netlink.call.
    """
    return KernelTables(
        None if index is None else read_link(route, index),
        frozenset(_address(each) for each in route.get_addr()),
        tuple(_route(each) for family in _ANYWHERE for each in route.get_routes(family=family)),
        tuple(_rule(each) for family in _ANYWHERE for each in route.get_rules(family=family)),
    )


def read_link(route: Any, index: int) -> Link | None:
    """None when no interface has that index. To be given to Netlink.call."""
    try:
        [found] = route.link("get", index=index)
    except NetlinkError as error:
        if error.code in GONE:
            return None
        raise
    return Link(
        found["index"],
        found.get_attr("IFLA_IFNAME"),
        bool(found["flags"] & IFF_UP),
        found.get_attr("IFLA_MTU"),
        found.get_attr("IFLA_TXQLEN"),
    )


def _address(found: Any) -> tuple[int, str]:
    address = found.get_attr("IFA_LOCAL") or found.get_attr("IFA_ADDRESS")
    return found["index"], f"{address}/{found['prefixlen']}"


def _route(found: Any) -> Route:
    hops = found.get_attr("RTA_MULTIPATH") or ()
    interfaces = [found.get_attr("RTA_OIF"), *(hop["oif"] for hop in hops)]
    gateways = [found.get_attr("RTA_GATEWAY"), *(hop.get_attr("RTA_GATEWAY") for hop in hops)]
    destination = found.get_attr("RTA_DST") or _ANYWHERE[found["family"]]
    return Route(
        f"{destination}/{found['dst_len']}",
        found["type"],
        found.get_attr("RTA_TABLE"),
        found["proto"],
        found.get_attr("RTA_PRIORITY"),
        tuple(each for each in interfaces if each),
        tuple(each for each in gateways if each),
    )


def _rule(found: Any) -> PolicyRule:
    return PolicyRule(
        found.get_attr("FRA_PRIORITY") or 0,
        found.get_attr("FRA_TABLE") or found["table"],
        f"{found.get_attr('FRA_SRC') or _ANYWHERE[found['family']]}/{found['src_len']}",
        found.get_attr("FRA_PROTOCOL") or 0,
        f"{found.get_attr('FRA_DST')}/{found['dst_len']}" if found["dst_len"] else None,
        bool(found["src_len"] or found["dst_len"] or found["tos"] or found["flags"] & FIB_RULE_INVERT)
        or any(found.get_attr(name) is not None for name in SELECTORS),
    )
