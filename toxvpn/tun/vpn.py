"""The VPN on this machine: its device, its addresses, its routes, and the packets' way through it.

Made and closed by the daemon. An IP packet's way: TUN -> datapath (routes) -> Tox; Tox -> datapath
(source check) -> TUN. Python only wakes the datapath up. Everything changed in the machine's network
is taken back by `close`, and by the next start after a kill (netconf.py).
"""

import contextlib
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Self

from .._native.path.datapath import Datapath
from .._native.path.packets import PacketFormat
from .._native.path.toxcarrier import ToxCarrier
from ..tox.announcement import Announcement
from ..tox.events import Event, PeerConnection
from ..tox.node import Node
from ..tox.pump import PacketPump
from ..wire.addressbook import AddressBook, Consent
from ..wire.addressing import OVERLAY_IPV6, overlay_ipv6
from ..wire.ip import MAX_MTU
from .changes import read_sysctl
from .device import Offload, TunDevice, open_tun
from .kernel import Kernel
from .local_networks import RESOLVER_FILES, check_requested, local_uses
from .monitor import NetworkWatch
from .netconf import NetworkChanges
from .reconcile import Upkeep, split
from .router import Router

log = logging.getLogger("toxvpn.tun")

QUEUE_PACKETS = 1000
"""Bursts of small UDP packets overflow the usual 500; TCP limits itself (bench/vpn.py)."""
CATCH_ALL_METRIC = 10_000
JOURNAL_NAME = "network.journal"


@dataclass(frozen=True, slots=True)
class VpnOptions:
    """`address` None: one is derived from our key. `mtu`: at most MAX_MTU.

    `allowed`: addresses that peers may have, by public key, although they do not follow from the key.
    """

    interface: str = "toxvpn0"
    address: IPv4Interface | None = None
    mtu: int = MAX_MTU
    offload: bool = True
    allowed: Mapping[bytes, IPv4Address] = field(default_factory=dict)


class Vpn:
    """Raises on construction what a person should be told, with nothing left behind."""

    def __init__(
        self,
        node: Node,
        announcement: Announcement,
        options: VpnOptions,
        journal: Path,
        belongs: Callable[[bytes], bool] = lambda public_key: True,
        gone: Callable[[], None] = lambda: None,
    ) -> None:
        """`belongs` says whether the friend of that public key is on the network.

        `gone` is called when somebody has removed the device: there is nothing left but to close.
        """
        self._node = node
        self._given = options.address.network if options.address is not None else None
        self._belongs = belongs
        self.closed = False
        with contextlib.ExitStack() as undo:
            network = undo.enter_context(NetworkChanges(journal))
            book = self._choose_address(options, network.look())
            self.device: TunDevice = open_tun(options.interface, offload=options.offload)
            undo.callback(self.device.close)
            network.set_queue_length(self.device.name, QUEUE_PACKETS)  # first, for udev may rename it
            self.datapath = Datapath(
                ToxCarrier(node.tox),
                self.device.fd,
                PacketFormat.VPN,
                mtu=options.mtu,
                vnet_hdr=self.device.vnet_hdr,
                udp_offload=bool(self.device.offload & Offload.USO4),
                carrier_port=node.tox.udp_port,
            )
            undo.callback(self.datapath.close)
            network.set_mtu(self.device.name, options.mtu)
            self.ipv6 = self._take_ipv6(network)
            self.router = Router(self.datapath, network, self.device.name, book, announcement.set_ipv4)
            if options.address is not None:
                self.router.own_prefix = options.address.network.prefixlen
            self.router.start(self.ipv6)
            network.link_up(self.device.name)
            if self.ipv6 is not None:
                # for addresses that are nobody's; of several networks on a machine each has one
                metric = CATCH_ALL_METRIC + network.index(self.device.name)
                network.add_route(self.device.name, OVERLAY_IPV6, metric=metric)
            announcement.set(ip6=self.ipv6, mtu=options.mtu)
            self.review()
            node.subscribe(self._hear)
            undo.callback(node.unsubscribe, self._hear)
            pump = PacketPump(node, self.datapath, self.device.fd, gone)
            undo.callback(pump.close)
            self.upkeep = Upkeep(network, self.device.name, self.router.look, local_uses)
            watch = NetworkWatch(self.upkeep.look, RESOLVER_FILES)
            undo.callback(watch.close)
            self._undo = undo.pop_all()

    @property
    def interface(self) -> str:
        """What the device is called now: somebody may have renamed it."""
        return self.upkeep.name

    @property
    def up(self) -> bool:
        """Whether the device is; False when somebody has set it down."""
        return self.upkeep.up

    def close(self) -> None:
        """Takes everything back. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def review(self) -> None:
        """Asks again who belongs: peers come and go without disturbing the others."""
        for peer in self._node:
            if self._belongs(peer.public_key):
                self.router.add(peer)
            else:
                self.router.remove(peer.public_key)

    def allow(self, addresses: Mapping[bytes, IPv4Address]) -> None:
        """As VpnOptions.allowed, from now on."""
        self.router.allow(self._consent(addresses))

    def _consent(self, addresses: Mapping[bytes, IPv4Address]) -> Consent:
        return Consent(addresses, self._given)

    def _hear(self, event: Event) -> None:
        if isinstance(event, PeerConnection) and self._belongs(event.peer.public_key):
            self.router.add(event.peer)
        self.router.hear(event)

    def _take_ipv6(self, network: NetworkChanges) -> IPv6Address | None:
        """None where the device has no IPv6: switched off, or with an MTU below 1280 (RFC 8200 §5)."""
        name = socket.if_indextoname(network.index(self.device.name))
        if read_sysctl(f"net/ipv6/conf/{name}/disable_ipv6") != "0":
            log.warning("%s has no IPv6: it is switched off here, or the MTU is below 1280", name)
            return None
        address = overlay_ipv6(self._node.tox.public_key)
        network.add_address(self.device.name, IPv6Interface((address, 128)))
        return address

    def _choose_address(self, options: VpnOptions, kernel: Kernel) -> AddressBook:
        """Raises ConfigError when the requested address cannot be ours."""
        uses = local_uses(kernel, [options.interface])
        requested = options.address.ip if options.address is not None else None
        if requested is not None:
            check_requested(requested, uses)
        book = AddressBook(
            self._node.tox.public_key, requested=requested, consent=self._consent(options.allowed)
        )
        if not book.look(*split(uses)).own:
            log.warning("every range for IPv4 addresses is in use on this machine: IPv6 only")
        return book
