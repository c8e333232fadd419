"""Decides which peer a packet goes to and which source addresses a peer may use: fills the datapath's tables.

In: peers that come, go and state addresses; which of them are on the VPN; the networks that this machine uses
apart from the VPN. Out: the datapath's routes and source rules, the kernel's routes into the device, and our
own addresses, which may have to give way (wire/addressbook.py). Nothing that a peer states is used unchecked:
its IPv6 address is computed from its key, and its IPv4 addresses must pass the address book.

An address is removed from the datapath first: updating the kernel or the journal may fail, and another peer
must not inherit it then.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network

from .._native.path.datapath import Datapath
from .._native.path.packets import Counters
from ..errors import ToxvpnError
from ..tox.events import Event, PeerRemoved, PeerStatus
from ..tox.overlay import Overlay
from ..tox.peer import Peer
from ..wire import statusmessage
from ..wire.addressbook import AddressBook, AddressRefusal, AllowedAddresses, Assignment
from ..wire.addressing import overlay_ipv6
from ..wire.routes import IPNetwork
from .host.netconf import NetworkChanges

log = logging.getLogger("toxvpn.tun")

REFUSED_METRIC = 20_000
"""After every route that is there for a purpose."""


@dataclass(slots=True)
class NetworkPeer:
    """A peer on the VPN, and which of its stated addresses were accepted.

    `sources`: its IPv4 addresses, the preferred one first, each with our own address to send from.
    `presumed`: it has not stated them yet.
    `refusal`: why it has no IPv4 address although it states `stated`.
    """

    peer: Peer
    ipv6: IPv6Address
    sources: dict[IPv4Address, IPv4Address] = field(default_factory=dict)
    stated: IPv4Address | None = None
    refusal: AddressRefusal | None = None
    name: str = ""
    has_ipv6: bool = True
    offered: tuple[IPNetwork, ...] = ()
    """The networks that it says are behind it: any ones (tun/subnets/choice.py)."""
    multicast: tuple[str, ...] = ()
    """The groups that it says it takes part in."""
    presumed: bool = False

    @property
    def ipv4(self) -> IPv4Address | None:
        return None if self.presumed else next(iter(self.sources), None)

    @property
    def address_problem(self) -> str | None:
        """Why the address it states is not used, and what can be done about that."""
        if self.refusal is None:
            return None
        text = f"the IPv4 address it states, {self.stated}, is not used: {self.refusal}"
        if self.refusal is AddressRefusal.CHOSEN:
            text += f'; to allow it: address = "{self.stated}" in the section of that peer in config.toml'
        return text


class Router:
    """Owns the tables of one device. `on_own_ipv4` is called when our own IPv4 addresses have changed.

    `own_network` is that of --address.
    """

    def __init__(
        self,
        datapath: Datapath,
        network: NetworkChanges,
        interface: str,
        book: AddressBook,
        on_own_ipv4: Callable[[Sequence[IPv4Address]], None],
    ) -> None:
        self.own: tuple[IPv4Address, ...] = ()
        self.own_network: IPv4Network | None = None
        self._has_ipv6 = False
        self._datapath = datapath
        self._overlay = Overlay(datapath)
        self._network = network
        self._interface = interface
        self._book = book
        self._on_own_ipv4 = on_own_ipv4
        self._peers: dict[bytes, NetworkPeer] = {}

    @contextmanager
    def refusing(self, peers: Collection[Peer]) -> Iterator[None]:
        """Until the block ends, the kernel refuses what no route of ours takes to these peers.

        For what it has to repeat from an address of ours would leave by the default route as soon as we have
        that address, and a route to a peer names the address, so that it comes later.
        """
        presumed = self._book.presume(*(peer.public_key for peer in peers)).presumed.values()
        addresses = [IPv4Network(address) for sources in presumed for address in sources]
        try:
            for address in addresses:
                self._network.make_unreachable(address, REFUSED_METRIC)
            yield
        finally:
            for address in addresses:
                self._network.remove_unreachable(address)

    def start(self, own_ipv6: IPv6Address | None) -> None:
        if own_ipv6 is not None:
            self._has_ipv6 = True
            self._datapath.add_own_address(IPv6Network(own_ipv6))
        self._set_own(self._book.assign().own)

    @property
    def own_ipv4(self) -> IPv4Address | None:
        """Our main IPv4 address, the one shown to people."""
        return self.own[0] if self.own else None

    @property
    def peers(self) -> list[NetworkPeer]:
        return list(self._peers.values())

    def peer(self, public_key: bytes) -> NetworkPeer | None:
        return self._peers.get(public_key)

    def peer_at(self, address: IPv4Address | IPv6Address) -> NetworkPeer | None:
        """The peer that has this address."""
        found = (each for each in self._peers.values() if address == each.ipv6 or address in each.sources)
        return next(found, None)

    def counters(self, public_key: bytes) -> Counters | None:
        return self._overlay.counters(public_key)

    # -- peers

    def add(self, peer: Peer) -> None:
        """Puts the peer on the VPN. Does nothing when it is there already."""
        if peer.public_key in self._peers:
            return
        member = self._peers[peer.public_key] = NetworkPeer(peer, overlay_ipv6(peer.public_key))
        self._overlay.add(peer)
        if self._has_ipv6:
            self._add_route(member, IPv6Network(member.ipv6))
        if peer.status_text is not None:
            self._apply_status(member, peer.status_text)
        else:
            self._apply(self._book.presume(peer.public_key))

    def remove(self, public_key: bytes) -> None:
        """Takes the peer off the VPN, with all its addresses."""
        member = self._peers.pop(public_key, None)
        if member is not None:
            self._overlay.remove(public_key)
            for address in list(member.sources):
                self._remove_address(member, address)
            self._remove_route(IPv6Network(member.ipv6))
            self._apply(self._book.forget(public_key))

    # -- what the configuration and this machine change

    def allow(self, allowed: AllowedAddresses) -> None:
        self._apply(self._book.allow(allowed))

    def set_local_networks(self, local: Collection[IPv4Network], isolated: Collection[IPv4Network]) -> None:
        """The networks that this machine uses without us (AddressBook.set_local)."""
        self._apply(self._book.set_local(local, isolated))

    # -- events

    def on_event(self, event: Event) -> None:
        """Handles a node's event (subscribe this)."""
        if isinstance(event, PeerRemoved):
            self.remove(event.peer.public_key)
        self._overlay.on_event(event)
        if isinstance(event, PeerStatus) and (member := self._peers.get(event.peer.public_key)):
            self._apply_status(member, event.text)

    # -- what peers state

    def _apply_status(self, member: NetworkPeer, text_untrusted: bytes) -> None:
        status = statusmessage.decode(text_untrusted)  # the tuntox road logs what is wrong with it
        ours = status.toxvpn
        member.name = ours.name if ours else ""
        member.has_ipv6 = ours is not None and ours.ip6 is not None
        member.offered = ours.routes if ours else ()
        member.multicast = ours.multicast if ours else ()
        if ours and ours.mtu is not None:
            self._overlay.set_peer_mtu(member.peer.public_key, ours.mtu)
        member.stated = status.ip4
        self._apply(self._book.state_untrusted(member.peer.public_key, status.every_ip4))

    def _apply(self, assignment: Assignment) -> None:
        before = {public_key: member.ipv4 for public_key, member in self._peers.items()}
        for public_key, member in self._peers.items():
            self._log_refusal(member, assignment.refused.get(public_key))
            member.presumed = public_key in assignment.presumed
            wanted = assignment.presumed.get(public_key) or assignment.accepted.get(public_key, {})
            for address in [each for each, source in member.sources.items() if wanted.get(each) != source]:
                self._remove_address(member, address)  # first of all, so that others can have it
        try:
            self._set_own(assignment.own)
        except ToxvpnError as failure:
            log.error("this machine has no IPv4 address on the VPN: %s", failure)
        for public_key, sources in {**assignment.accepted, **assignment.presumed}.items():
            if (winner := self._peers.get(public_key)) is not None:
                self._add_addresses(winner, sources)
                if winner.ipv4 not in (None, before[public_key]):
                    winner.peer.log(log, logging.INFO, "%s", winner.ipv4)

    def _log_refusal(self, member: NetworkPeer, reason: AddressRefusal | None) -> None:
        """Logs once per change."""
        if reason is not member.refusal:
            member.refusal = reason
            if reason is not None:
                member.peer.log(log, logging.WARNING, "%s", member.address_problem)

    def _add_addresses(self, member: NetworkPeer, sources: dict[IPv4Address, IPv4Address]) -> None:
        for address, source in sources.items():
            new = IPv4Network(address)
            if address not in member.sources and self._add_route(member, new, source):
                member.sources[address] = source
                self._datapath.set_route(new, member.peer.number)
                self._datapath.allow_source(new, member.peer.number)
        member.sources = {address: source for address, source in sources.items() if address in member.sources}

    def _remove_address(self, member: NetworkPeer, address: IPv4Address) -> None:
        del member.sources[address]
        old = IPv4Network(address)
        self._datapath.remove_route(old)
        self._datapath.remove_source(old)
        self._remove_route(old)

    def _add_route(
        self, member: NetworkPeer, destination: IPv4Network | IPv6Network, source: IPv4Address | None = None
    ) -> bool:
        try:
            self._network.add_route(self._interface, destination, source=source)
        except ToxvpnError as failure:
            text = "its IPv%d address cannot be used: %s"
            member.peer.log(log, logging.WARNING, text, destination.version, failure)
            return False
        return True

    def _remove_route(self, destination: IPv4Network | IPv6Network) -> None:
        try:
            self._network.remove_route(self._interface, destination)
        except ToxvpnError as failure:
            log.warning("%s", failure)

    # -- our own addresses

    def _with_prefix(self, own: IPv4Address) -> IPv4Interface:
        network = self.own_network if self.own_network and own in self.own_network else IPv4Network(own)
        return IPv4Interface((own, network.prefixlen))

    def _set_own(self, addresses: tuple[IPv4Address, ...]) -> None:
        """Raises ToxvpnError when the kernel refuses one of them; the others are set all the same."""
        if addresses == self.own:
            return
        for old in [each for each in self.own if each not in addresses]:
            self._datapath.remove_own_address(IPv4Network(old))
            try:
                self._network.remove_address(self._interface, self._with_prefix(old))
            except ToxvpnError as failure:
                log.warning("%s", failure)
        failures = []
        for new in [each for each in addresses if each not in self.own]:
            try:
                self._network.add_address(self._interface, self._with_prefix(new))
                self._datapath.add_own_address(IPv4Network(new))
            except ToxvpnError as failure:
                failures.append((new, failure))
        self.own = tuple(each for each in addresses if each not in dict(failures))
        self._on_own_ipv4(self.own)
        if failures:
            raise failures[0][1]
