"""Which peer a packet goes to, and who may send from which address: the datapath's tables, kept true.

In: peers that come, go and state addresses; which of them belong to the VPN; what this machine uses
without us. Out: the datapath's routes and source rules, the kernel's routes into the device, and our
own addresses, which may have to give way (wire/addressbook.py). Nothing that a peer says of itself is
believed unchecked: its IPv6 address is computed from its key, its IPv4 addresses pass the address
book, or it has none.

What is taken away is taken from the datapath first: the kernel, and the journal of what we changed
there, may fail, and then nobody may inherit what another one had.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network

from .._native.path.datapath import Datapath
from .._native.path.packets import Counters
from ..errors import ToxvpnError
from ..tox.events import Event, PeerRemoved, PeerStatus
from ..tox.overlay import Overlay
from ..tox.peer import Peer
from ..wire import status
from ..wire.addressbook import AddressBook, Consent, Refused, Settlement
from ..wire.addressing import overlay_ipv6
from .netconf import NetworkChanges

log = logging.getLogger("toxvpn.tun")


@dataclass(slots=True)
class Member:
    """A peer of the VPN and what was accepted of what it states.

    `ways`: its IPv4 addresses, the one to use first, each with the one of ours to send there from.
    `refused`: why it has none, though it states `stated`.
    """

    peer: Peer
    ipv6: IPv6Address
    ways: dict[IPv4Address, IPv4Address] = field(default_factory=dict)
    stated: IPv4Address | None = None
    refused: Refused | None = None
    name: str = ""

    @property
    def ipv4(self) -> IPv4Address | None:
        return next(iter(self.ways), None)

    @property
    def objection(self) -> str | None:
        """Why what it states is not used, and what to do about it where something can be done."""
        if self.refused is None:
            return None
        text = f"the IPv4 address it states, {self.stated}, is not used: {self.refused}"
        if self.refused is Refused.CHOSEN:
            text += f'; to allow it: address = "{self.stated}" in the section of that peer in config.toml'
        return text


class Router:
    """Owns the tables of one device. `readdress` is called when our own IPv4 addresses have changed."""

    def __init__(
        self,
        datapath: Datapath,
        network: NetworkChanges,
        interface: str,
        book: AddressBook,
        readdress: Callable[[Sequence[IPv4Address]], None],
    ) -> None:
        self.own: tuple[IPv4Address, ...] = ()
        self.own_prefix = 32
        self._has_ipv6 = False
        self._datapath = datapath
        self._overlay = Overlay(datapath, self._refiled)
        self._network = network
        self._interface = interface
        self._book = book
        self._readdress = readdress
        self._members: dict[bytes, Member] = {}

    def start(self, own_ipv6: IPv6Address | None) -> None:
        if own_ipv6 is not None:
            self._has_ipv6 = True
            self._datapath.add_own_address(IPv6Network(own_ipv6))
        self._take_own(self._book.settle().own)

    @property
    def own_ipv4(self) -> IPv4Address | None:
        """The address that we are known by."""
        return self.own[0] if self.own else None

    @property
    def members(self) -> list[Member]:
        return list(self._members.values())

    def member(self, public_key: bytes) -> Member | None:
        return self._members.get(public_key)

    def counters(self, public_key: bytes) -> Counters | None:
        return self._overlay.counters(public_key)

    # -- peers

    def add(self, peer: Peer) -> None:
        """The peer belongs to the VPN from now on. Does nothing for one that already does."""
        if peer.public_key in self._members:
            return
        member = self._members[peer.public_key] = Member(peer, overlay_ipv6(peer.public_key))
        self._overlay.add(peer)
        if self._has_ipv6:
            self._add_route(member, IPv6Network(member.ipv6))
        if peer.status_text is not None:
            self._learn(member, peer.status_text)

    def remove(self, public_key: bytes) -> None:
        """The peer does not belong to the VPN any more."""
        member = self._members.pop(public_key, None)
        if member is not None:
            self._overlay.remove(public_key)
            for address in list(member.ways):
                self._take_away(member, address)
            self._remove_route(IPv6Network(member.ipv6))
            self._apply(self._book.forget(public_key))

    # -- what a person, and the rest of the machine, have to say

    def allow(self, consent: Consent) -> None:
        self._apply(self._book.allow(consent))

    def look(self, local: Collection[IPv4Network], apart: Collection[IPv4Network]) -> None:
        """What this machine uses without us (AddressBook.look)."""
        self._apply(self._book.look(local, apart))

    # -- events

    def hear(self, event: Event) -> None:
        """A node's event (subscribe this)."""
        if isinstance(event, PeerRemoved):
            self.remove(event.peer.public_key)
        self._overlay.hear(event)
        if isinstance(event, PeerStatus) and (member := self._members.get(event.peer.public_key)):
            self._learn(member, event.text)

    def _refiled(self, peer: Peer) -> None:
        member = self._members[peer.public_key]
        for address in member.ways:
            self._file(member, IPv4Network(address))

    def _file(self, member: Member, address: IPv4Network) -> None:
        self._datapath.set_route(address, member.peer.number)
        self._datapath.allow_source(address, member.peer.number)

    # -- what peers state

    def _learn(self, member: Member, text_untrusted: bytes) -> None:
        said = status.decode(text_untrusted)  # the tuntox road tells what is wrong with it
        ours = said.toxvpn
        member.name = ours.name if ours else ""
        if ours and ours.mtu is not None:
            self._overlay.accepts(member.peer.public_key, ours.mtu)
        member.stated = said.ip4
        self._apply(self._book.state_untrusted(member.peer.public_key, said.every_ip4))

    def _apply(self, settlement: Settlement) -> None:
        before = {public_key: member.ipv4 for public_key, member in self._members.items()}
        for public_key, member in self._members.items():
            self._tell_refusal(member, settlement.refused.get(public_key))
            wanted = settlement.accepted.get(public_key, {})
            for address in [each for each, source in member.ways.items() if wanted.get(each) != source]:
                self._take_away(member, address)  # first of all, so that others can have it
        try:
            self._take_own(settlement.own)
        except ToxvpnError as failure:
            log.error("no IPv4 address of our own: %s", failure)
        for public_key, ways in settlement.accepted.items():
            if (winner := self._members.get(public_key)) is not None:
                self._give(winner, ways)
                if winner.ipv4 not in (None, before[public_key]):
                    winner.peer.tell(log, logging.INFO, "%s", winner.ipv4)

    def _tell_refusal(self, member: Member, reason: Refused | None) -> None:
        """Once per change."""
        if reason is not member.refused:
            member.refused = reason
            if reason is not None:
                member.peer.tell(log, logging.WARNING, "%s", member.objection)

    def _give(self, member: Member, ways: dict[IPv4Address, IPv4Address]) -> None:
        for address, source in ways.items():
            new = IPv4Network(address)
            if address not in member.ways and self._add_route(member, new, source):
                member.ways[address] = source
                self._file(member, new)
        member.ways = {address: source for address, source in ways.items() if address in member.ways}

    def _take_away(self, member: Member, address: IPv4Address) -> None:
        del member.ways[address]
        old = IPv4Network(address)
        self._datapath.remove_route(old)
        self._datapath.remove_source(old)
        self._remove_route(old)

    def _add_route(
        self, member: Member, destination: IPv4Network | IPv6Network, source: IPv4Address | None = None
    ) -> bool:
        try:
            self._network.add_route(self._interface, destination, source=source)
        except ToxvpnError as failure:
            member.peer.tell(log, logging.WARNING, "no IPv%d address: %s", destination.version, failure)
            return False
        return True

    def _remove_route(self, destination: IPv4Network | IPv6Network) -> None:
        try:
            self._network.remove_route(self._interface, destination)
        except ToxvpnError as failure:
            log.warning("%s", failure)

    # -- our own addresses

    def _take_own(self, addresses: tuple[IPv4Address, ...]) -> None:
        """Raises ToxvpnError: one of them cannot be had; the others are ours."""
        if addresses == self.own:
            return
        for old in [each for each in self.own if each not in addresses]:
            self._datapath.remove_own_address(IPv4Network(old))
            try:
                self._network.remove_address(self._interface, IPv4Interface((old, self.own_prefix)))
            except ToxvpnError as failure:
                log.warning("%s", failure)
        failures = []
        for new in [each for each in addresses if each not in self.own]:
            try:
                self._network.add_address(self._interface, IPv4Interface((new, self.own_prefix)))
                self._datapath.add_own_address(IPv4Network(new))
            except ToxvpnError as failure:
                failures.append((new, failure))
        self.own = tuple(each for each in addresses if each not in dict(failures))
        self._readdress(self.own)
        if failures:
            raise failures[0][1]
