"""The VPN on this machine: its device, its addresses, its routes, and the packets that pass through them.

Made and closed by the daemon. An IP packet goes TUN -> datapath (routes) -> Tox, and Tox -> datapath (source
check) -> TUN; Python only wakes the datapath up. `close` undoes every change to the machine's network; after
a kill the next start does (netconf.py).
"""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Protocol, Self

from .._native.path.datapath import Datapath
from .._native.path.packets import PacketFormat
from .._native.path.toxcarrier import ToxCarrier
from ..errors import ToxvpnError
from ..tox.events import Event, PeerConnection, PeerRemoved, PeerStatus
from ..tox.node import Node
from ..tox.ownstatus import OwnStatus
from ..tox.peer import Peer
from ..tox.pump import PacketPump
from ..wire.addressbook import AddressBook, AllowedAddresses
from ..wire.addressing import OVERLAY_IPV6, overlay_ipv6
from ..wire.routes import IPNetwork
from .exit.exits import ExitPlan, Exits
from .exit.leftovers import JOURNAL_NAME
from .filters import Filters, Reach
from .heal.monitor import NetworkMonitor
from .heal.reconcile import Reconciler
from .host.device import Offload, TunDevice
from .host.kernel import KernelTables
from .host.namespace import HERE, Namespace
from .host.netconf import NetworkChanges
from .multicast import Multicast
from .neighbours.local_networks import RESOLVER_FILES, LocalNetwork, check_requested, split
from .neighbours.moved import own_moved, peer_moved
from .router import REFUSED_METRIC, NetworkPeer, Router
from .subnets.forwarding import lead_to
from .subnets.routes import NO_GRANTS, Grants, SubnetRoutes

log = logging.getLogger("toxvpn.tun")

QUEUE_PACKETS = 1000
"""Bursts of small UDP packets overflow the default of 500; TCP limits itself (bench/vpn.py)."""
CATCH_ALL_METRIC = 10_000
SEVERAL = 10_000
"""The VPNs of one machine hardly meet among so many metrics."""
__all__ = ["JOURNAL_NAME", "Vpn", "VpnOptions"]


class VpnOptions(Protocol):
    """The keys of [vpn] that are used here; `address` None: one is derived from our key."""

    @property
    def interface(self) -> str: ...
    @property
    def address(self) -> IPv4Interface | None: ...
    @property
    def mtu(self) -> int: ...
    @property
    def offload(self) -> bool: ...
    @property
    def advertise(self) -> tuple[IPNetwork, ...]: ...
    @property
    def snat(self) -> bool: ...
    @property
    def multicast(self) -> tuple[str, ...]: ...


class Vpn:
    """The VPN, up from construction until `close`. A failing construction leaves nothing behind."""

    def __init__(
        self,
        node: Node,
        own_status: OwnStatus,
        options: VpnOptions,
        journal: Path | None,
        belongs: Callable[[bytes], bool] = lambda public_key: True,
        on_device_removed: Callable[[], None] = lambda: None,
        allowed: Mapping[bytes, IPv4Address] | None = None,
        grants: Grants = NO_GRANTS,
        namespace: Namespace = HERE,
        exits: ExitPlan | None = None,
        reach_of: Callable[[bytes], Reach | None] = lambda public_key: None,
    ) -> None:
        """`belongs` returns whether the friend of that public key is on the VPN. `allowed`: addresses that
        peers may have although they are not derived from the peer's key, by public key.

        `reach_of` gives what the friend may reach here (filters.py).
        `on_device_removed` is called when somebody has removed the device: the Vpn is to be closed then.
        A `namespace` that ends with us needs no journal.
        """
        self._node = node
        self._requested = options.address.ip if options.address is not None else None
        self._own_network = options.address.network if options.address is not None else None
        self._local: list[LocalNetwork] = []
        self._belongs = belongs
        self.namespace = namespace
        self.closed = False
        self.exits = Exits(exits or ExitPlan())
        with contextlib.ExitStack() as undo:
            undo.callback(self.exits.tell_end)
            changes = NetworkChanges(journal, namespace, self.exits.keeps)
            network = self.network = undo.enter_context(changes)
            self._keep_inside(network)
            self.exits.begin(network, options.interface, here=namespace is HERE)
            book = self._choose_address(options, allowed or {}, network.read_kernel())
            self.device: TunDevice = namespace.open_tun(options.interface, offload=options.offload)
            undo.callback(self.device.close)
            network.set_queue_length(self.device.name, QUEUE_PACKETS)  # first, for udev may rename it
            self.datapath = self._make_datapath(options.mtu)
            undo.callback(self.datapath.close)
            self.filters = Filters(self.datapath, reach_of)
            network.set_mtu(self.device.name, options.mtu)
            self.ipv6 = self._add_ipv6(network)
            self.multicast = Multicast(
                self.datapath,
                network,
                self.device.name,
                lambda groups: own_status.set(multicast=groups),
                node.tox.udp_port,
            )
            undo.callback(self.multicast.close)

            def set_own(addresses: Sequence[IPv4Address]) -> None:
                own_status.set_ipv4(addresses)
                self.multicast.set_own(addresses)

            self.router = Router(self.datapath, network, self.device.name, book, set_own)
            self.router.own_network = self._own_network
            self.subnets = SubnetRoutes(
                self.datapath,
                network,
                self.device.name,
                self.router,
                grants,
                options.advertise,
                self._own_network,
            )
            undo.callback(self.subnets.close)
            if namespace is HERE:  # else usernet/router carries what is for them
                lead_to(network, self.device.name, options.advertise, snat=options.snat)
            network.link_up(self.device.name)
            if self.ipv6 is not None:
                self._add_catch_all(network)
            own_status.set(ip6=self.ipv6, mtu=options.mtu, routes=options.advertise)
            self.exits.open(
                self.router,
                self.datapath,
                own_status,
                node.tox.public_key,
                self.ipv6,
                self.subnets.advertised,
            )
            self.choose_groups(options.multicast)
            with self.router.refusing([peer for peer in node if belongs(peer.public_key)]):
                self.router.start(self.ipv6)
                self.update_peers()
            node.subscribe(self._on_event)
            undo.callback(node.unsubscribe, self._on_event)
            pump = PacketPump(node, self.datapath, self.device.fd, on_device_removed)
            undo.callback(pump.close)
            self.reconciler = Reconciler(
                network,
                self.device.name,
                self._set_local,
                namespace.local_networks,
                on_tables=self._look,
            )
            monitor = NetworkMonitor(
                self.reconciler.reconcile, RESOLVER_FILES, self.reconciler.hear, namespace
            )
            undo.callback(monitor.close)
            self._undo = undo.pop_all()

    @property
    def interface(self) -> str:
        """The device's present name: somebody may have renamed it."""
        return self.reconciler.name

    @property
    def index(self) -> int:
        """The device's number, which a new name leaves as it is."""
        return self.network.index_of(self.device.name)

    @property
    def up(self) -> bool:
        """Whether the device is up; False when somebody has set it down."""
        return self.reconciler.up

    @property
    def moved(self) -> str:
        """Why our IPv4 address is not the usual one; "" when it is."""
        return own_moved(self.router.own, self._local, self._requested)

    def peer_moved(self, member: NetworkPeer) -> str | None:
        """Why the peer's IPv4 address here is not the usual one; None when it is."""
        return peer_moved(member.stated, member.ipv4, self._local)

    def peer_at(self, address: IPv4Address | IPv6Address) -> Peer | None:
        """The peer that may send from there: from an address of its own, or from a network behind it."""
        member = self.router.peer_at(address) or self.subnets.peer_at(address)
        return member.peer if member else None

    def close(self) -> None:
        """Undoes everything. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def update_peers(self) -> None:
        """Adds and removes peers as `belongs` says now, without disturbing the others."""
        for peer in self._node:
            if self._belongs(peer.public_key):
                self.filters.apply(peer)
                self.router.add(peer)
            else:
                self.router.remove(peer.public_key)
        self.exits.update()  # first: what it takes back of a peer's destinations may be the subnets' too
        self.subnets.update()
        for member in self.router.peers:
            self.multicast.update(member)

    def choose_groups(self, groups: tuple[str, ...]) -> None:
        """Takes part in these groups of multicast and broadcast, and no others."""
        self.multicast.choose(groups, self.router.peers)

    def allow(self, addresses: Mapping[bytes, IPv4Address]) -> None:
        """Replaces `allowed`."""
        self.router.allow(AllowedAddresses(addresses, self._own_network))
        self.subnets.update()

    def _set_local(self, local: list[LocalNetwork]) -> None:
        before = self.moved if self._local else ""
        self._local = local
        self.router.set_local_networks(*split(local))
        self.subnets.update()
        if self.moved != before:
            log.warning("%s: %s", self.interface, self.moved or f"{self.router.own_ipv4} again")

    def _look(self, tables: KernelTables) -> bool:
        self.exits.look(tables)
        return self.subnets.look(tables)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection) and self._belongs(event.peer.public_key):
            self.filters.apply(event.peer)
            self.router.add(event.peer)
        self.router.on_event(event)
        if isinstance(event, PeerConnection | PeerStatus | PeerRemoved):
            self.exits.update()
        if isinstance(event, PeerStatus):
            self.subnets.update_soon()
        elif isinstance(event, PeerConnection | PeerRemoved):
            self.subnets.update()
        if isinstance(event, PeerConnection | PeerStatus):
            member = self.router.peer(event.peer.public_key)
            if member is not None:
                self.multicast.update(member)

    def _make_datapath(self, mtu: int) -> Datapath:
        return Datapath(
            ToxCarrier(self._node.tox),
            self.device.fd,
            PacketFormat.VPN,
            mtu=mtu,
            vnet_hdr=self.device.vnet_hdr,
            udp_offload=bool(self.device.offload & Offload.USO4),
            carrier_port=self._node.tox.udp_port,
        )

    def _add_ipv6(self, network: NetworkChanges) -> IPv6Address | None:
        """Adds our IPv6 address. None where the device has none: IPv6 is disabled, or the MTU below 1280.

        Source: RFC 8200 §5.
        """
        name = network.name(self.device.name)
        if network.read_sysctl(f"net/ipv6/conf/{name}/disable_ipv6") != "0":
            log.warning("%s has no IPv6: it is disabled on this machine, or the MTU is below 1280", name)
            return None
        address = overlay_ipv6(self._node.tox.public_key)
        network.add_address(self.device.name, IPv6Interface((address, 128)))
        return address

    def _add_catch_all(self, network: NetworkChanges) -> None:
        """Adds the route by which unknown overlay addresses are answered with ICMP.

        Its metric keeps several VPNs of this machine apart.
        """
        metric = CATCH_ALL_METRIC + network.index(self.device.name)
        network.add_route(self.device.name, OVERLAY_IPV6, metric=metric)

    def _keep_inside(self, network: NetworkChanges) -> None:
        """What a kernel repeats to a peer does not leave by the default route while there is no device.

        That is so after a kill, until the next start. For IPv4 the kernel sees to it: it sends nothing from
        an address that is nobody's. Several VPNs of this machine have different keys.
        """
        metric = REFUSED_METRIC + int.from_bytes(self._node.tox.public_key[:4], "big") % SEVERAL
        with contextlib.suppress(ToxvpnError):  # there is no IPv6
            network.make_unreachable(OVERLAY_IPV6, metric)

    def _choose_address(
        self, options: VpnOptions, addresses: Mapping[bytes, IPv4Address], tables: KernelTables
    ) -> AddressBook:
        """Raises ConfigError when the requested address cannot be ours."""
        local = self.namespace.local_networks(tables, [options.interface])
        if self._requested is not None:
            check_requested(self._requested, local)
        allowed = AllowedAddresses(addresses, self._own_network)
        book = AddressBook(self._node.tox.public_key, requested=self._requested, allowed=allowed)
        if not book.set_local(*split(local)).own:
            log.warning("every IPv4 range that the VPN can use is in use on this machine: only IPv6 works")
        return book
