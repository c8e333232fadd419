from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network

from typing_extensions import disjoint_base

from ..wakeups import Early
from .carrier import Carrier
from .packets import Counters, DropReason, PacketFormat

LARGEST_MTU: dict[PacketFormat, int]
SMALLEST_MTU: int

@disjoint_base
class Datapath(Early):
    """Moves IP packets between a TUN descriptor and a carrier, as its tables say.

    `tun_fd` stays the caller's, who closes it after `close()`; it must be non-blocking, without
    tun_pi, and with `vnet_hdr` opened with IFF_VNET_HDR. `udp_offload` says that the kernel takes
    UDP super-packets. `mtu` is the largest IP packet sent to a friend, at most LARGEST_MTU of the
    format. `carrier_port` is the UDP port that the carrier sends from: those packets never go to a
    friend, whatever the routes say. Everything is denied until allowed. Every method but `close`
    raises ClosedError once closed; one that names a friend raises ValueError for what can be no
    friend number. Served early (wakeups.pyx), it does what read_tun does.
    """

    packet_format: PacketFormat
    on_refusal: Callable[[], None] | None
    """Called, from within any call that brings packets, each time that `refused` has grown."""

    def __init__(
        self,
        carrier: Carrier,
        tun_fd: int,
        packet_format: PacketFormat,
        *,
        mtu: int,
        vnet_hdr: bool,
        udp_offload: bool = False,
        carrier_port: int = 0,
    ) -> None: ...
    def close(self) -> None:
        """Takes no more packets from the carrier. What is not flushed is lost."""

    def read_tun(self, budget: int = 256) -> int:
        """Reads until the TUN is empty or `budget` packets are done: sent, dropped, or kept for want of room.

        Call it when the TUN is readable. Returns how many; raises OSError when the device is gone. What is
        kept goes with the carrier's next rounds; of several flows by turns, and a flow whose packets wait
        for long is told to slow down (RFC 8290).
        """

    def set_route(self, network: IPv4Network | IPv6Network, friend_number: int) -> None:
        """Packets to `network` go to the friend; a longer prefix wins, the same one is replaced."""

    def remove_route(self, network: IPv4Network | IPv6Network) -> bool:
        """False when there was none."""

    def allow_source(self, network: IPv4Network | IPv6Network, friend_number: int) -> None:
        """The friend, and nobody else, may send from `network`, but for longer prefixes of others.

        Raises ValueError when exactly this prefix is another friend's or our own.
        """

    def remove_source(self, network: IPv4Network | IPv6Network) -> bool: ...
    def allow_destination(self, network: IPv4Network | IPv6Network, friend_number: int | None = None) -> None:
        """The friend, or everyone, may send to `network`."""

    def remove_destination(
        self, network: IPv4Network | IPv6Network, friend_number: int | None = None
    ) -> bool: ...
    def add_own_address(self, network: IPv4Network | IPv6Network) -> None:
        """Everybody may send to `network` (a /32 or /128), nobody from it. ValueError if a friend's."""

    def remove_own_address(self, network: IPv4Network | IPv6Network) -> bool: ...
    def set_online(self, friend_number: int, online: bool) -> None:
        """Packets to a friend that is offline are dropped, and answered with ICMP."""

    def set_mtu(self, friend_number: int, mtu: int) -> None:
        """Largest IP packet for this friend, brought within what is possible.

        IPv4 packets above it are fragmented where that is allowed; IPv6 goes up to 1280 bytes at least.
        """

    def remove_friend(self, friend_number: int) -> None:
        """Forgets its routes, sources, destinations and counters."""

    def counters(self, friend_number: int) -> Counters: ...
    @property
    def drops(self) -> dict[DropReason, int]:
        """Packets that belong to no friend."""

    @property
    def refused(self) -> tuple[str, ...]:
        """Of what the kernel turned out not to take super-packets: `TCP`, `UDP`.

        The packets of the refused one were written one by one, and so are all later ones of that protocol.
        """
