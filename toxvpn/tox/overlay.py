"""Keeps a datapath's tables in step with the peers that may use it: their overlay IPv6 addresses.

In: peers that are let in, events of the node. Out: for each peer a route and a source rule for the one
address that follows from its key (docs/wire-format.md §4), keyed by its friend number, which toxcore may
change; the largest packet it may be sent, and whether it takes bundles. Used by the VPN's router and by the
fast road, each with a datapath of its own.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from .._native.path.datapath import Datapath
from .._native.path.packets import FRAME_BYTES, Counters
from ..wire import statusmessage
from ..wire.addressing import overlay_ipv6
from .events import Event, PeerConnection, PeerPacketSize, PeerRemoved, PeerStatus
from .peer import Peer


@dataclass(slots=True)
class _Entry:
    peer: Peer
    number: int
    address: IPv6Address
    accepts: int | None = None
    """The MTU that the peer has announced."""


class Overlay:
    def __init__(self, datapath: Datapath) -> None:
        self._datapath = datapath
        self._entries: dict[bytes, _Entry] = {}
        self._by_address: dict[IPv6Address, _Entry] = {}

    def add(self, peer: Peer) -> None:
        """Adds the peer's route and source rule. Idempotent."""
        if peer.public_key not in self._entries:
            entry = _Entry(peer, peer.number, overlay_ipv6(peer.public_key))
            self._entries[peer.public_key] = self._by_address[entry.address] = entry
            self._install(entry)

    def remove(self, public_key: bytes) -> None:
        entry = self._entries.pop(public_key, None)
        if entry is not None:
            del self._by_address[entry.address]
            self._datapath.remove_friend(entry.number)

    def set_peer_mtu(self, public_key: bytes, mtu: int) -> None:
        """The largest IP packet that the peer accepts, in bytes."""
        entry = self._entries.get(public_key)
        if entry is not None:
            entry.accepts = mtu
            self._resize(entry)

    def on_event(self, event: Event) -> None:
        """Handles a node's event (subscribe this)."""
        if isinstance(event, PeerRemoved):
            self.remove(event.peer.public_key)
        elif isinstance(event, PeerPacketSize) and (entry := self._entries.get(event.peer.public_key)):
            self._resize(entry)
        elif isinstance(event, PeerConnection) and (entry := self._entries.get(event.peer.public_key)):
            if entry.number != entry.peer.number:
                self._datapath.renumber(entry.number, entry.peer.number)
                entry.number = entry.peer.number
            self._datapath.set_online(entry.number, entry.peer.online)
            self._choose_format(entry)
        elif isinstance(event, PeerStatus) and (entry := self._entries.get(event.peer.public_key)):
            self._choose_format(entry)

    def peer_at(self, address: IPv6Address) -> Peer | None:
        """The peer with this address; a packet from it can only have come from that peer."""
        entry = self._by_address.get(address)
        return entry.peer if entry is not None else None

    def counters(self, public_key: bytes) -> Counters | None:
        entry = self._entries.get(public_key)
        return self._datapath.counters(entry.number) if entry is not None else None

    def _install(self, entry: _Entry) -> None:
        network = IPv6Network(entry.address)
        self._datapath.set_route(network, entry.number)
        self._datapath.allow_source(network, entry.number)
        self._datapath.set_online(entry.number, entry.peer.online)
        self._resize(entry)
        self._choose_format(entry)

    def _choose_format(self, entry: _Entry) -> None:
        """A peer that has been away may be an older program now: it has to say again what it takes."""
        text_untrusted = entry.peer.status_text or b""
        ours = statusmessage.decode(text_untrusted).toxvpn
        self._datapath.set_bundles(entry.number, ours is not None and ours.bundles)

    def _resize(self, entry: _Entry) -> None:
        """Sets the smaller of what the peer accepts and what the path carries."""
        carries = entry.peer.packet_bytes - FRAME_BYTES[self._datapath.packet_format]
        self._datapath.set_mtu(
            entry.number, carries if entry.accepts is None else min(entry.accepts, carries)
        )
