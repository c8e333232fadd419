"""Sends this machine's traffic through an exit: a peer by way of whose network it reaches the Internet.

In: the peer, what it says of itself, and the tables of kernel and datapath. Out: a kill switch
(killswitch.py), rules and routes that go with it, and the datapath's default routes. Neighbours: `exits`
calls it, `server` is the other side, `leftovers` takes back what a killed run has left.

The order is that of safety: the kill switch is loaded before the first route, in place of one that an earlier
run left, and is taken back after the last one, and only when a person ends the run.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import count
from operator import itemgetter
from pathlib import Path

from ..._native.path.datapath import Datapath
from ...errors import ToxvpnError
from ...wire import statusmessage
from ...wire.exitoffer import ExitOffer
from ...wire.routes import EVERYWHERE, IPNetwork
from ..host.changes import MAIN_TABLE, Change, NftTable
from ..host.netconf import NetworkChanges
from ..host.nftables import table_name
from ..router import Router
from . import leftovers
from .killswitch import (
    FIRST_PRIORITY,
    MANY_IPV4,
    MARK,
    PRIVATE,
    PURPOSE,
    TABLE,
    KillSwitch,
)

log = logging.getLogger("toxvpn.tun")

NOT_YET = "it has not connected yet"
NOT_SAID = "it has not said yet whether it lets us exit"
OFF_NETWORK = "it is not a peer on the network"
OFFLINE = "it is offline"
REFUSED = "it does not let us exit: there, the section [peers.NAME] for this machine takes `may_exit = true`"
NO_WAY = "it has no way out"
CONNECTED, UNCONNECTED, LISTENING = "01", "07", "0A"
"""States of sockets (linux/tcp_states.h TCP_ESTABLISHED, TCP_CLOSE, TCP_LISTEN)."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the exit is used now: its friend number, for which IP versions, from which of our addresses."""

    number: int
    versions: frozenset[int]
    source: IPv4Address | None
    resolvers: tuple[IPv4Address | IPv6Address, ...]


class ExitClient:
    """Made before the VPN's network is; then `shut`, `open`, `hold`, and `refresh` at each event.

    `public_key` and `name` are the exit's. `lan`: whether private addresses stay reachable. `dismissed`
    returns whether a person has ended the run; if not, the kill switch stays when the run ends.
    """

    def __init__(
        self, public_key: bytes, name: str, *, lan: bool, dismissed: Callable[[], bool] = lambda: True
    ) -> None:
        self.public_key = public_key
        self.problem: str | None = NOT_YET
        """Why nothing leaves at present."""
        self.name = name
        self._lan = lan
        self._dismissed = dismissed
        self._ready = True  # until `shut` has looked, what an earlier run left is not to be lost
        self._way: Way | None = None
        self._servers: frozenset[int] = frozenset()
        self._clients: frozenset[int] = frozenset()
        self._ipv6 = False

    def keeps(self, change: Change) -> bool:
        """Whether the change is to stay when the others are undone (NetworkChanges)."""
        return isinstance(change, NftTable) and leftovers.is_switch(change.name) and self.stays

    @property
    def stays(self) -> bool:
        return self._ready and not self._dismissed()

    def hold(self) -> None:
        """From now on the kill switch stays, however the run ends, unless a person ends it."""
        self._ready = True
        log.info("nothing leaves but through the exit %s from now on; `toxvpn down` ends that", self.name)

    def shut(self, network: NetworkChanges, interface: str) -> None:
        """Loads the kill switch, before there is a device. Raises ToxvpnError."""
        self._network, self._interface = network, interface
        self._ready = self._table in leftovers.switches()
        self._servers = local_ports("tcp", LISTENING)
        self._clients = client_ports()
        self._load(None)
        leftovers.remove_switches(network, leftovers.switches() - {self._table})

    def open(self, router: Router, datapath: Datapath, own_key: bytes, *, ipv6: bool) -> None:
        """Lets traffic into the device; it is answered as unreachable until the exit offers a way.

        Raises ToxvpnError.
        """
        self._router, self._datapath, self._own_key, self._ipv6 = router, datapath, own_key, ipv6
        network = self._network
        self._load(network.index(self._interface))
        network.set_sysctl("net/ipv4/conf/all/src_valid_mark", "1")  # the answers to Tox's packets are marked
        priority = count(FIRST_PRIORITY)
        for version in (4, 6) if ipv6 else (4,):
            self._add_rules(EVERYWHERE[version], priority)
            network.add_route(self._interface, EVERYWHERE[version], table=TABLE)

    def _add_rules(self, everywhere: IPNetwork, priority: Iterator[int]) -> None:
        """Private addresses by the main table, but not by its default route; the rest by ours, but Tox's."""
        add = self._network.add_rule
        is_ipv4 = everywhere.version == 4
        for private in PRIVATE[everywhere.version]:
            add(next(priority), MAIN_TABLE, everywhere, destination=private, no_default=True)
        for many in MANY_IPV4 if is_ipv4 else ():  # for IPv6, the kernel's table `local` has them
            add(next(priority), MAIN_TABLE, everywhere, destination=many)
        add(next(priority), TABLE, everywhere, MARK, inverted=True)

    def refresh(self) -> None:
        """Looks at the exit as it is now; to be called at each event that may concern it."""
        way, problem = self._find_way()
        before = self.problem, self._carries
        if way != self._way:
            self._take(way)
        self.problem = problem
        if (problem, self._carries) != before:
            self._tell(was_open=before[0] is None)

    @property
    def _carries(self) -> str:
        """What goes through the exit, in words."""
        if self._way is None:
            return ""
        versions = " and ".join(f"IPv{version}" for version in sorted(self._way.versions))
        return f"{versions}, and DNS" if self._way.resolvers else versions

    # -- what the exit says

    def _find_way(self) -> tuple[Way | None, str | None]:
        member = self._router.peer(self.public_key)
        if member is None:
            return None, OFF_NETWORK
        if not member.peer.online:
            return self._way, OFFLINE if self._way else NOT_YET
        if member.peer.status_text is None:
            return self._way, NOT_SAID
        offer = offer_untrusted(member.peer.status_text)
        if offer is None or not offer.is_for(self.public_key, self._own_key):
            return None, REFUSED
        versions = offer.versions & self._versions
        addresses: dict[int, IPv4Address | IPv6Address | None] = {4: member.ipv4, 6: member.ipv6}
        answering = (addresses[version] for version in sorted(offer.dns & versions))
        way = Way(
            member.peer.number,
            versions,
            member.sources.get(member.ipv4) if member.ipv4 else None,
            tuple(each for each in answering if each is not None),
        )
        return way, None if versions else NO_WAY

    @property
    def _versions(self) -> frozenset[int]:
        return frozenset({4, 6}) if self._ipv6 else frozenset({4})

    # -- putting it in force

    def _take(self, way: Way | None) -> None:
        """The datapath first: what has no way there is answered as unreachable."""
        before, self._way = self._way, way
        for version, everywhere in EVERYWHERE.items():
            self._datapath.remove_route(everywhere)
            self._datapath.remove_source(everywhere)
            if way is not None and version in way.versions:
                self._datapath.allow_source(everywhere, way.number)
                self._datapath.set_route(everywhere, way.number)
        try:
            if way and way.source != (before and before.source):
                self._network.remove_route(self._interface, EVERYWHERE[4])
                self._network.add_route(self._interface, EVERYWHERE[4], table=TABLE, source=way.source)
            if (way and way.resolvers) != (before and before.resolvers):
                self._load(self._network.index(self._interface))
        except ToxvpnError as failure:
            log.warning("the exit cannot be used as it should be: %s", failure)

    def _tell(self, *, was_open: bool) -> None:
        """Logs what a person has to know: not that it takes a moment to connect."""
        if self.problem is None:
            log.info("this machine's traffic goes through the exit %s: %s", self.name, self._carries)
        elif was_open or self.problem in (REFUSED, NO_WAY):
            log.warning("nothing leaves through the exit %s: %s", self.name, self.problem)

    def _load(self, index: int | None) -> None:
        resolvers = self._way.resolvers if self._way else ()
        switch = KillSwitch(index, self._lan, resolvers, self._servers, self._clients)
        self._network.set_table("inet", self._table, switch.content)

    @property
    def _table(self) -> str:
        return table_name(PURPOSE, self._interface)


def offer_untrusted(status_text: bytes) -> ExitOffer | None:
    stated = statusmessage.decode(status_text).toxvpn
    return stated.exit if stated else None


def client_ports() -> frozenset[int]:
    """The UDP ports from which programs here talk to one other end each; not those of a server beside it."""
    return local_ports("udp", CONNECTED) - local_ports("udp", UNCONNECTED)


def local_ports(protocol: str, wanted: str) -> frozenset[int]:
    """The ports in this network namespace of sockets of that protocol in that state."""
    found = set()
    for table in (protocol, f"{protocol}6"):
        with suppress(FileNotFoundError):  # without IPv6
            for line in Path("/proc/thread-self/net", table).read_text().splitlines()[1:]:
                local, state = itemgetter(1, 3)(line.split())
                if state == wanted:
                    found.add(int(local.rpartition(":")[2], 16))
    return frozenset(found)
