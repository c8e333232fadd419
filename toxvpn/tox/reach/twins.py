"""Tells the network under toxcore which nodes have two addresses, one of each family (_native/net/twins.c).

A friend names the relays that it uses, each by one address. Where it has IPv6 alone and we IPv4 alone, or the
other way round, there is no way from here to that address, and we would meet only on a relay that both happen
to use. With this, the relay is reached at its other address. In: bootstrap nodes. Out: pairs of addresses.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from ..._native.results import Connection
from ..bootstrap import BootstrapNode, Resolve, is_numeric
from ..events import Event, SelfConnection
from ..node import Node


class Twins:
    """One for each node, for as long as the node lives. Host names are looked up once there is a network."""

    def __init__(self, node: Node, nodes: Iterable[BootstrapNode], resolve: Resolve | None = None) -> None:
        self._node = node
        self._resolve = resolve
        self._named: list[BootstrapNode] = []
        for each in nodes:
            if all(is_numeric(host) for host in each.hosts):
                self._tell(each.hosts)
            elif resolve is not None:
                self._named.append(each)
        node.subscribe(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, SelfConnection) and event.connection is not Connection.NONE:
            named, self._named = self._named, []
            for each in named:
                self._look_up(each)

    def _look_up(self, named: BootstrapNode) -> None:
        found = [host for host in named.hosts if is_numeric(host)]

        def on_found(addresses: list[str]) -> None:
            found.extend(addresses)
            self._tell(found)

        for host in named.hosts:
            if not is_numeric(host) and self._resolve is not None:
                self._resolve(host, on_found)

    def _tell(self, hosts: Iterable[str]) -> None:
        by_version = {ip_address(host).version: host for host in hosts}
        if len(by_version) == 2:
            self._node.tox.know_twin(by_version[4], by_version[6])
