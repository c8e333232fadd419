"""Lets peers reach the Internet through this machine: those whose section says `may_exit = true`.

In: those peers, the networks that their `allow` names, and this machine's own networks. Out: the datapath's
destinations, forwarding, an nftables table, and the offer in the status message. Neighbours: `client` is
the other side, `forwarding` makes this machine a router.

Such a peer may send to every address, but to no private one, nor into a network that this machine has a way
to other than its default route; except where its `allow` names it. The longest prefix decides, in the
datapath, where a firewall's reload changes nothing. What it sends leaves with this machine's own address. Its
DNS queries to our own address go to this machine's name server, wherever that is.

Such a peer takes packets of any source from us. So nobody but this machine, and the networks that it
advertises, begins anything with that peer: neighbours here could use us as their router.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from ..._native.path.datapath import Datapath
from ...errors import ToxvpnError
from ...tox.ownstatus import OwnStatus
from ...wire import exitoffer
from ...wire.routes import EVERYWHERE, IPAddress, IPNetwork
from ..host.kernel import USABLE_KINDS, KernelTables
from ..host.netconf import NetworkChanges
from ..host.nftables import FAMILY_OF, table_name
from ..neighbours.local_networks import RESOLVER_FILES, name_servers
from ..router import Router
from ..subnets.forwarding import forward, warn_of_firewall
from .killswitch import MANY_IPV4, MANY_IPV6, PRIVATE_IPV4, PRIVATE_IPV6, TABLE

log = logging.getLogger("toxvpn.tun")

PURPOSE = "gateway"
CLOSED: tuple[IPNetwork, ...] = (
    *PRIVATE_IPV4,
    *MANY_IPV4,
    *(ip_network(each) for each in ("0.0.0.0/8", "127.0.0.0/8", "198.18.0.0/15", "240.0.0.0/4")),
    *PRIVATE_IPV6,
    *MANY_IPV6,
    *(ip_network(each) for each in ("::/127", "::ffff:0:0/96")),
    *(ip_network(f"64:ff9b::{each.network_address}/{96 + each.prefixlen}") for each in PRIVATE_IPV4),
)
"""What is not the Internet (RFC 6890), also when a NAT64 router near here leads there (RFC 6052 §2.1)."""
DEFAULT_BITS = {4: 8, 6: 16}
"""A route to a larger network than this is a part of a default route."""
NO_WAY = "peers cannot exit through this machine"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """This machine's own networks; the IP versions that it has a default route for; its name servers."""

    networks: frozenset[IPNetwork] = frozenset()
    versions: frozenset[int] = frozenset()
    resolvers: tuple[IPAddress, ...] = ()


Destinations = Mapping[IPNetwork, bool]
"""Whether a peer may send there; the longest prefix counts."""


class ExitServer:
    """`may` returns whether the friend of that public key may exit; `granted` the networks that its `allow`
    names; `advertised` are those that this machine leads peers to.

    `uses_exit`: this machine's own traffic goes through an exit, which takes no other machine's.
    """

    def __init__(
        self,
        router: Router,
        datapath: Datapath,
        network: NetworkChanges,
        interface: str,
        own_status: OwnStatus,
        own_key: bytes,
        may: Callable[[bytes], bool],
        granted: Callable[[bytes], Collection[IPNetwork]],
        advertised: Collection[IPNetwork],
        *,
        uses_exit: bool,
    ) -> None:
        self._router = router
        self._datapath = datapath
        self._network = network
        self._interface = interface
        self._own_status = own_status
        self._own_key = own_key
        self._may = may
        self._granted = granted
        self._advertised = advertised
        self._uses_exit = uses_exit
        self._around = Surroundings()
        self._reach: dict[bytes, tuple[int, Destinations]] = {}
        self._content: str | None = None
        self._warned = False

    def look(self, tables: KernelTables) -> None:
        """Takes this machine's networks as they are now."""
        around = surroundings(tables, self._network.index(self._interface), RESOLVER_FILES)
        if around != self._around:
            self._around = around
            self.update()

    def update(self) -> None:
        """To be called when peers, their addresses or rights have changed."""
        members = (
            {}
            if self._uses_exit
            else {
                each.peer.public_key: each for each in self._router.peers if self._may(each.peer.public_key)
            }
        )
        self._set_destinations(
            {
                key: (each.peer.number, destinations(self._around.networks, self._granted(key)))
                for key, each in members.items()
            }
        )
        addresses: list[IPAddress] = []
        for member in members.values():
            addresses += [*member.sources, member.ipv6]
        offer = None
        try:
            self._set_table(addresses)
            resolving = frozenset(each.version for each in self._around.resolvers)
            offer = exitoffer.offer(self._own_key, members, self._around.versions, resolving)
        except ToxvpnError as failure:
            log.warning("%s: %s", NO_WAY, failure)
        self._own_status.set(exit=offer)
        self._warn(offer is not None)

    def _set_destinations(self, wanted: dict[bytes, tuple[int, Destinations]]) -> None:
        for key, (number, networks) in self._reach.items():
            if wanted.get(key) != (number, networks):
                for each in networks:
                    self._datapath.remove_destination(each, number)
        for key, (number, networks) in wanted.items():
            if self._reach.get(key) != (number, networks):
                for each, allowed in networks.items():
                    outside = each in EVERYWHERE.values()  # no rules are about the Internet
                    self._datapath.allow_destination(each, number, allowed=allowed, outside=outside)
        self._reach = wanted

    def _set_table(self, addresses: Collection[IPAddress]) -> None:
        if not addresses:
            self._network.remove_table("inet", table_name(PURPOSE, self._interface))
            self._content = None
            return
        index = self._network.index(self._interface)
        text = content(index, addresses, self._around.resolvers, self._advertised)
        if text != self._content:
            forward(self._network, self._around.versions)
            self._network.set_table("inet", table_name(PURPOSE, self._interface), text)
            self._content = text

    def _warn(self, offered: bool) -> None:
        """Once."""
        if offered and not self._warned:
            warn_of_firewall(self._interface)
            self._warned = True


def destinations(networks: Iterable[IPNetwork], granted: Collection[IPNetwork]) -> Destinations:
    """The Internet, without what is closed, but with what is granted."""
    open_to_all, closed = dict.fromkeys(EVERYWHERE.values(), True), dict.fromkeys((*CLOSED, *networks), False)
    return open_to_all | closed | dict.fromkeys(granted, True)


def surroundings(tables: KernelTables, own_index: int, resolver_files: Iterable[Path]) -> Surroundings:
    others = [address for index, address in tables.addresses if index != own_index]
    ours = [address.partition("/")[0] for index, address in tables.addresses if index == own_index]
    attached = {ip_network(address, strict=False) for address in others}
    ways = [
        ip_network(route.destination)
        for route in tables.routes
        if route.kind in USABLE_KINDS and route.table != TABLE and set(route.interfaces) != {own_index}
    ]
    networks = {each for each in ways if each.prefixlen >= DEFAULT_BITS[each.version]}
    versions = frozenset(each.version for each in ways if each.prefixlen < DEFAULT_BITS[each.version])
    found = resolvers(name_servers(resolver_files), ours)
    return Surroundings(frozenset(attached | networks), versions, found)


def resolvers(found: Iterable[tuple[object, str]], ours: Collection[str]) -> tuple[IPAddress, ...]:
    """The first of each family that takes packets from elsewhere: no loopback or link-local one, not ours."""
    first: dict[int, IPAddress] = {}
    for _, text in found:
        try:
            address = ip_address(text)
        except ValueError:  # an IPv6 address with its interface is link-local too
            continue
        unusable = address.is_loopback or address.is_link_local or address.is_unspecified
        if not unusable and text not in ours:
            first.setdefault(address.version, address)
    return tuple(first[version] for version in sorted(first))


def content(
    index: int,
    addresses: Collection[IPAddress],
    resolvers: Collection[IPAddress],
    advertised: Collection[IPNetwork] = (),
) -> str:
    """Of the nftables table; `addresses` are those of the peers that may exit."""
    peers = {
        version: f"{{ {', '.join(map(str, sorted(own)))} }}"
        for version in FAMILY_OF
        if (own := [each for each in addresses if each.version == version])
    }
    from_peers = {
        version: f"iif {index} {FAMILY_OF[version]} saddr {those}" for version, those in peers.items()
    }
    behind = [f"    {FAMILY_OF[each.version]} saddr {each} accept" for each in advertised]
    strangers = [
        f"    oif {index} iif != {index} {FAMILY_OF[version]} daddr {those} ct state new drop"
        for version, those in peers.items()
    ]
    dns = [
        f"    {from_peers[each.version]} fib daddr type local meta l4proto {{ tcp, udp }} th dport 53 "
        f"dnat {FAMILY_OF[each.version]} to {each}"
        for each in resolvers
        if each.version in from_peers
    ]
    leaving = [f"    {each} oif != {index} masquerade" for each in from_peers.values()]
    return "\n".join(
        (
            "  chain prerouting {",
            "    type nat hook prerouting priority dstnat;",
            *dns,
            "  }",
            "  chain postrouting {",
            "    type nat hook postrouting priority srcnat;",
            *leaving,
            "  }",
            "  chain forward {",
            "    type filter hook forward priority filter;",
            *behind,
            *strangers,
            "  }",
        )
    )
