"""Puts our routes before another VPN's table where its rules would lead our packets into it.

A program such as Tailscale looks its own table up before the main one, where our routes are. That does no
harm until the table has a route that covers one of ours: a default route (an exit node), or one to a network
around it. Then a rule of ours, before theirs, leads to the main table; a default route there does not count,
so that everything else goes where the other program wants it.

In: the kernel's rules and routes, and our destinations; out: rules. `diverted` is pure.
"""

import logging
from collections.abc import Collection, Iterable
from ipaddress import ip_network

from ...errors import ToxvpnError
from ...wire.addressing import OVERLAY_IPV6, RANGES
from ...wire.routes import EVERYWHERE, IPNetwork
from ..host.changes import MAIN_TABLE, PROTOCOL
from ..host.kernel import KernelTables, PolicyRule
from ..host.netconf import NetworkChanges

log = logging.getLogger("toxvpn.tun")

PRIORITY = 100
"""Before NetBird's 105 and Tailscale's 5210."""
LOCAL_TABLE = 255
DIVERTING_KINDS = {1, 6, 7, 8}
"""linux/rtnetlink.h: RTN_UNICAST, _BLACKHOLE, _UNREACHABLE, _PROHIBIT."""


class Precedence:
    """Keeps the rules of one device."""

    def __init__(self, network: NetworkChanges, interface: str) -> None:
        self._network = network
        self._interface = interface
        self._kept: set[IPNetwork] = set()

    def update(self, tables: KernelTables) -> None:
        ours = self._network.destinations(self._interface)
        wanted = {_whole(each) for each in diverted(ours, tables)}
        for each in self._kept - wanted:
            self._network.remove_rule(PRIORITY, MAIN_TABLE, EVERYWHERE[each.version], each)
        for each in wanted - self._kept:
            self._add(each)
        self._kept = wanted

    def _add(self, destination: IPNetwork) -> None:
        everywhere = EVERYWHERE[destination.version]
        try:
            self._network.add_rule(PRIORITY, MAIN_TABLE, everywhere, destination=destination, no_default=True)
        except ToxvpnError as failure:
            log.warning("%s", failure)
        else:
            log.info(
                "another program's routes would take what goes to %s: %s has a rule before them now",
                destination,
                self._interface,
            )


def diverted(ours: Iterable[IPNetwork], tables: KernelTables) -> list[IPNetwork]:
    """Those of our destinations that a rule before the main table's leads elsewhere."""
    routes: dict[int, dict[int, set[IPNetwork]]] = {4: {}, 6: {}}
    for version, lengths in routes.items():
        before = _tables_before_main(each for each in tables.rules if _version(each.source) == version)
        for route in tables.routes:
            theirs = route.table in before and route.kind in DIVERTING_KINDS and route.protocol != PROTOCOL
            if theirs and _version(route.destination) == version:
                network = ip_network(route.destination)
                lengths.setdefault(network.prefixlen, set()).add(network)
    return [each for each in ours if _is_covered(each, routes[each.version])]


def _tables_before_main(rules: Iterable[PolicyRule]) -> Collection[int]:
    """Of other programs' rules, whichever packets they are for."""
    tables: set[int] = set()
    for rule in sorted(rules, key=lambda rule: rule.priority):
        if rule.table == MAIN_TABLE and not rule.selective:
            break
        if rule.protocol != PROTOCOL and rule.table not in (MAIN_TABLE, LOCAL_TABLE):
            tables.add(rule.table)
    return tables


def _is_covered(network: IPNetwork, by_length: dict[int, set[IPNetwork]]) -> bool:
    return any(
        network.supernet(new_prefix=length) in networks
        for length, networks in by_length.items()
        if length <= network.prefixlen
    )


def _whole(network: IPNetwork) -> IPNetwork:
    """One rule for all peers of a range."""
    ranges: tuple[IPNetwork, ...] = (OVERLAY_IPV6, *RANGES)
    return next((each for each in ranges if network.network_address in each), network)


def _version(network: str) -> int:
    return 6 if ":" in network else 4
