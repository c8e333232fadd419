"""The networks behind peers and behind this machine, in force: routes, source checks, what peers may reach.

In: what peers offer, what is granted, and the kernel's tables. Out: for each network that is used a route of
the kernel, and in the datapath a route and the right of one peer to send from there; for each peer that may
reach what lies behind this machine, the right to send there. Neighbours: `choice` decides, `router` has the
peers' own addresses.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from ..._native.path.datapath import Datapath
from ...errors import ToxvpnError
from ...wire.addressing import range_of
from ...wire.routegrant import NO_ROUTES, RouteGrant
from ...wire.routes import IPNetwork
from ...wire.toxid import short_key
from ..host.kernel import KernelTables
from ..host.netconf import NetworkChanges
from ..neighbours.other_networks import other_networks
from ..router import NetworkPeer, Router
from .choice import Decision, Offer, OtherNetwork, decide

log = logging.getLogger("toxvpn.tun")

SETTLE_S = 0.2
"""Between two rounds because of what peers state: one may change its mind all the time."""


@dataclass(frozen=True, slots=True)
class PeerRoute:
    """A network behind a peer. `problem`: why it is not used although a person here has granted it."""

    network: IPNetwork
    used: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Grants:
    """What a person has decided of a peer: its name here, which networks behind it are used, and whether it
    may reach what lies behind this machine.
    """

    name: Callable[[bytes], str]
    routes: Callable[[bytes], RouteGrant]
    behind: Callable[[bytes], bool]


NO_GRANTS = Grants(short_key, lambda public_key: NO_ROUTES, lambda public_key: False)


class SubnetRoutes:
    """Owns them for one device. Nothing is used before `look` has been called once.

    `advertised` lies behind this machine. `own_network` belongs to the VPN as a whole (--address with bits).
    """

    def __init__(
        self,
        datapath: Datapath,
        network: NetworkChanges,
        interface: str,
        router: Router,
        grants: Grants,
        advertised: Collection[IPNetwork] = (),
        own_network: IPv4Network | None = None,
    ) -> None:
        self.advertised = tuple(advertised)
        self._datapath = datapath
        self._network = network
        self._interface = interface
        self._router = router
        self._grants = grants
        self._own_network = own_network
        self._others: list[OtherNetwork] | None = None
        self._decision = Decision()
        self._in_kernel: set[IPNetwork] = set()
        self._in_datapath: dict[IPNetwork, int] = {}
        self._open_to: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._not_before_s = -math.inf

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def of(self, public_key: bytes) -> list[PeerRoute]:
        """The networks behind that peer, used or not, for a person: in the order of their addresses."""
        routes = sorted(self._routes_of(public_key), key=lambda each: each.network.prefixlen)
        return sorted(routes, key=lambda each: (each.network.version, each.network.network_address.packed))

    def _routes_of(self, public_key: bytes) -> Iterator[PeerRoute]:
        member = self._router.peer(public_key)
        offered = member.offered if member else ()
        granted = self._grants.routes(public_key)
        refused = self._decision.refused.get(public_key, {})
        used = [network for network, owner in self._decision.used.items() if owner == public_key]
        yield from (PeerRoute(network, used=True) for network in used)
        yield from (PeerRoute(network, used=False, problem=reason) for network, reason in refused.items())
        for network in offered:
            if not _meets(network, [*used, *refused]):
                yield PeerRoute(network, used=False)
        for network in () if granted == "all" else granted:
            if not _meets(network, offered):
                told = member is not None and member.peer.status_text is not None
                problem = "it does not offer this network" if told else "it has not told yet what it offers"
                yield PeerRoute(network, used=False, problem=problem)

    def peer_at(self, address: IPv4Address | IPv6Address) -> NetworkPeer | None:
        """The peer behind which this address is, by the longest prefix of those that are used."""
        found = [network for network in self._decision.used if address in network]
        if not found:
            return None
        longest = max(found, key=lambda network: network.prefixlen)
        return self._router.peer(self._decision.used[longest])

    # -- what changes

    def look(self, tables: KernelTables) -> bool:
        """The kernel's tables may have changed. Returns whether that has changed routes of ours."""
        others = list(other_networks(tables, self._network.index(self._interface)))
        if others == self._others:
            return False
        before, self._others = set(self._in_kernel), others
        self.update()
        return before != self._in_kernel

    def update_soon(self) -> None:
        """A peer has stated something: at once, unless one has just now. Needs a running loop."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            return
        if loop.time() < self._not_before_s:
            self._timer = loop.call_at(self._not_before_s, self._update_stated)
        else:
            self._update_stated()

    def _update_stated(self) -> None:
        self._not_before_s = asyncio.get_running_loop().time() + SETTLE_S
        self.update()

    def update(self) -> None:
        """Puts in force what follows from offers, grants and networks as they are now."""
        self.close()
        if self._others is None:
            return
        before, offers = self._decision, self._offers()
        self._decision = decide(offers, self._avoided(self._others)) if offers else Decision()
        self._withdraw()
        for network, key in list(self._decision.used.items()):
            if (reason := self._use(network, self._member(key))) is not None:
                del self._decision.used[network]
                self._decision.refused.setdefault(key, {})[network] = reason
        self._open()
        self._log(before)

    # -- the decision

    def _offers(self) -> dict[bytes, Offer]:
        """Those of which something is granted."""
        grants = self._grants
        offering = {each.peer.public_key: each.offered for each in self._router.peers if each.offered}
        granted = {key: grants.routes(key) for key in offering}
        return {
            key: Offer(grants.name(key), offered, granted[key])
            for key, offered in offering.items()
            if granted[key]
        }

    def _avoided(self, others: Iterable[OtherNetwork]) -> Iterator[OtherNetwork]:
        yield from others
        for network in self.advertised:
            yield OtherNetwork(network, "which lies behind this machine")
        if self._own_network is not None:
            yield OtherNetwork(self._own_network, "where the addresses of the VPN are")
        for own in self._router.own:
            yield OtherNetwork(range_of(own) or IPv4Network(own), "where the addresses of the VPN are")
        for member in self._router.peers:
            for address in () if member.presumed else member.sources:
                name = self._grants.name(member.peer.public_key)
                yield OtherNetwork(IPv4Network(address), f"the address of {name}")

    def _member(self, public_key: bytes) -> NetworkPeer:
        member = self._router.peer(public_key)
        assert member is not None  # only members have offers
        return member

    # -- putting it in force

    def _withdraw(self) -> None:
        """First from the datapath, for taking a route from the kernel may fail."""
        used = self._decision.used
        for network, number in list(self._in_datapath.items()):
            if network not in used or self._member(used[network]).peer.number != number:
                self._datapath.remove_route(network)
                self._datapath.remove_source(network)
                del self._in_datapath[network]
        for network in [each for each in self._in_kernel if each not in used]:
            self._take_from_kernel(network)

    def _use(self, network: IPNetwork, member: NetworkPeer) -> str | None:
        """All of it or nothing; returns the reason for nothing."""
        if network not in self._in_kernel:
            try:
                self._network.add_route(self._interface, network)
            except ToxvpnError as failure:
                return str(failure)
            self._in_kernel.add(network)
        number = member.peer.number
        try:
            self._datapath.allow_source(network, number)
        except ValueError as failure:
            self._take_from_kernel(network)
            return str(failure)
        self._datapath.set_route(network, number)
        self._in_datapath[network] = number
        return None

    def _take_from_kernel(self, network: IPNetwork) -> None:
        self._in_kernel.discard(network)
        try:
            self._network.remove_route(self._interface, network)
        except ToxvpnError as failure:
            log.warning("%s", failure)

    def _open(self) -> None:
        """Lets peers send to what lies behind this machine, where they may."""
        if not self.advertised:
            return
        wanted = {
            member.peer.number for member in self._router.peers if self._grants.behind(member.peer.public_key)
        }
        for network in self.advertised:
            for number in self._open_to - wanted:
                self._datapath.remove_destination(network, number)
            for number in wanted:
                self._datapath.allow_destination(network, number)
        self._open_to = wanted

    # -- words

    def _log(self, before: Decision) -> None:
        for network, key in before.used.items():
            if self._decision.used.get(network) != key and (member := self._router.peer(key)) is not None:
                member.peer.log(log, logging.INFO, "%s is no longer reached through it", network)
        for network, key in self._decision.used.items():
            if before.used.get(network) != key:
                self._member(key).peer.log(log, logging.INFO, "%s is reached through it", network)
        for key, refused in self._decision.refused.items():
            for network, reason in refused.items():
                if before.refused.get(key, {}).get(network) != reason:
                    text = "the network %s that it offers is not used: %s"
                    self._member(key).peer.log(log, logging.WARNING, text, network, reason)


def _meets(network: IPNetwork, others: Iterable[IPNetwork]) -> bool:
    return any(other.version == network.version and other.overlaps(network) for other in others)
