"""Which peer a packet goes to, and who may send from which address: the datapath's tables, kept true.

In: peers that come, go and state addresses; which of them belong to the VPN. Out: the datapath's
routes and source rules, the kernel's routes into the device, and our own address, which may have to
give way (wire/addressbook.py). Nothing that a peer says of itself is believed unchecked: its IPv6
address is computed from its key, its IPv4 address passes the address book, or it has none.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network

from .._native.datapath import Datapath
from .._native.packets import Counters
from ..errors import ToxvpnError
from ..tox.events import Event, PeerRemoved, PeerStatus
from ..tox.overlay import Overlay
from ..tox.peer import Peer
from ..tox.ratelimit import RateLimit
from ..wire import status
from ..wire.addressbook import AddressBook, Refused, Settlement
from ..wire.addressing import overlay_ipv6
from .netconf import NetworkChanges

log = logging.getLogger("toxvpn.tun")

LINES_AT_ONCE, LINES_PER_S = 10, 1 / 60
"""Of the log, on account of what one peer states."""


@dataclass(slots=True)
class Member:
    """A peer of the VPN and what was accepted of what it states."""

    peer: Peer
    ipv6: IPv6Address
    ipv4: IPv4Address | None = None
    refused: Refused | None = None
    mtu: int | None = None
    name: str = ""
    lines: RateLimit = field(default_factory=lambda: RateLimit(LINES_PER_S, LINES_AT_ONCE))

    def tell(self, level: int, text: str, *arguments: object) -> None:
        """A line about it for the log, which is not its own to fill."""
        if self.lines.take(time.monotonic()):
            log.log(level, f"peer %s: {text}", self.peer.short, *arguments)


class Router:
    """Owns the tables of one device. `readdress` is called when our own IPv4 address has changed."""

    def __init__(
        self,
        datapath: Datapath,
        network: NetworkChanges,
        interface: str,
        book: AddressBook,
        readdress: Callable[[IPv4Address | None], None],
    ) -> None:
        self.own_ipv4: IPv4Address | None = None
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
        self._take_ipv4(self._book.settle().own)

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
            self._set_ipv4(member, None)
            self._network.remove_route(self._interface, IPv6Network(member.ipv6))
            self._overlay.remove(public_key)
            self._apply(self._book.forget(public_key))

    def hear(self, event: Event) -> None:
        """A node's event (subscribe this)."""
        if isinstance(event, PeerRemoved):
            self.remove(event.peer.public_key)
        self._overlay.hear(event)
        if isinstance(event, PeerStatus) and (member := self._members.get(event.peer.public_key)):
            self._learn(member, event.text)

    def _refiled(self, peer: Peer) -> None:
        member = self._members[peer.public_key]
        if member.ipv4 is not None:
            self._file_ipv4(member, IPv4Network(member.ipv4))
        if member.mtu is not None:
            self._datapath.set_mtu(peer.number, member.mtu)

    def _file_ipv4(self, member: Member, address: IPv4Network) -> None:
        self._datapath.set_route(address, member.peer.number)
        self._datapath.allow_source(address, member.peer.number)

    # -- what peers state

    def _learn(self, member: Member, text_untrusted: bytes) -> None:
        said = status.decode(text_untrusted)  # the lossless road tells what is wrong with it
        ours = said.toxvpn
        member.name = ours.name if ours else ""
        if ours and ours.mtu is not None:
            member.mtu = ours.mtu
            self._datapath.set_mtu(member.peer.number, ours.mtu)
        self._apply(self._book.state_untrusted(member.peer.public_key, said.ip4))

    def _apply(self, settlement: Settlement) -> None:
        for public_key, member in self._members.items():
            self._tell_refusal(member, settlement.refused.get(public_key))
            wanted = settlement.accepted.get(public_key) if settlement.own is not None else None
            if wanted != member.ipv4:  # first all that lose an address, so that others can have it
                self._set_ipv4(member, None)
        self._take_ipv4(settlement.own)
        if settlement.own is None:  # the kernel would send from some other address, which no peer accepts
            return
        for public_key, address in settlement.accepted.items():
            if (winner := self._members.get(public_key)) is not None and winner.ipv4 != address:
                self._set_ipv4(winner, address)

    def _tell_refusal(self, member: Member, reason: Refused | None) -> None:
        """Once per change."""
        if reason is not member.refused:
            member.refused = reason
            if reason is not None:
                member.tell(logging.WARNING, "the IPv4 address it states is not used: %s", reason)

    def _set_ipv4(self, member: Member, address: IPv4Address | None) -> None:
        if member.ipv4 is not None:
            old = IPv4Network(member.ipv4)
            self._network.remove_route(self._interface, old)
            self._datapath.remove_route(old)
            self._datapath.remove_source(old)
        member.ipv4 = address
        if address is None:
            return
        new = IPv4Network(address)
        if not self._add_route(member, new):
            member.ipv4 = None
            return
        self._file_ipv4(member, new)
        member.tell(logging.INFO, "%s", address)

    def _add_route(self, member: Member, destination: IPv4Network | IPv6Network) -> bool:
        try:
            self._network.add_route(self._interface, destination)
        except ToxvpnError as failure:
            member.tell(logging.WARNING, "no IPv%d address: %s", destination.version, failure)
            return False
        return True

    # -- our own address

    def _take_ipv4(self, address: IPv4Address | None) -> None:
        if address == self.own_ipv4:
            return
        if self.own_ipv4 is not None:
            self._datapath.remove_own_address(IPv4Network(self.own_ipv4))
            self._network.remove_address(self._interface, IPv4Interface((self.own_ipv4, self.own_prefix)))
        self.own_ipv4 = address
        if address is not None:
            self._datapath.add_own_address(IPv4Network(address))
            self._network.add_address(self._interface, IPv4Interface((address, self.own_prefix)))
        self._readdress(address)
