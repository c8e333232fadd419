from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from typing_extensions import disjoint_base

from ..wakeups import Early
from .carrier import Carrier
from .packets import Counters, DropReason, FilterRule, PacketFormat, Sending

LARGEST_MTU: dict[PacketFormat, int]
SMALLEST_MTU: int

@disjoint_base
class Datapath(Early):
    """Moves IP packets between a TUN descriptor and a carrier, as its tables say.

    The caller keeps `tun_fd`, and closes it after `close()`; it must be non-blocking, without tun_pi, and
    with `vnet_hdr` opened with IFF_VNET_HDR. `udp_offload` says that the kernel takes UDP super-packets.
    `mtu` is the largest IP packet sent to a friend, at most LARGEST_MTU of the format. `carrier_port` is the
    UDP port that the carrier sends from: those packets never go to a friend, whatever the routes say.
    Everything is denied until allowed. Every method but `close` raises ClosedError once closed; one that
    names a friend raises ValueError for what cannot be a friend number. A selector that serves it
    (wakeups.pyx) does what read_tun does.
    """

    packet_format: PacketFormat
    on_refusal: Callable[[], None] | None
    """Called each time that `refused` has grown, from within any call that moves packets."""

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
        """Take no more packets from the carrier. What is not flushed is lost."""

    def read_tun(self, budget: int = 256) -> int:
        """Read until the TUN is empty or `budget` packets are done: sent, dropped, or kept until there is
        room.

        Call it when the TUN is readable. Returns the number of packets; raises OSError when the device is
        gone. Kept packets are sent with the carrier's next flushes, the flows by turns; packets of a flow
        that waits for long are dropped or marked, so that it slows down (RFC 8290).
        """

    def set_route(self, network: IPv4Network | IPv6Network, friend_number: int) -> None:
        """Send packets to `network` to the friend. A longer prefix wins; the same prefix is replaced."""

    def remove_route(self, network: IPv4Network | IPv6Network) -> bool:
        """Remove a route; False when there was none."""

    def allow_source(self, network: IPv4Network | IPv6Network, friend_number: int) -> None:
        """Let this friend alone send from `network`, except from longer prefixes of others.

        Raises ValueError when exactly this prefix belongs to another friend or to us.
        """

    def remove_source(self, network: IPv4Network | IPv6Network) -> bool: ...
    def allow_destination(
        self,
        network: IPv4Network | IPv6Network,
        friend_number: int | None = None,
        *,
        allowed: bool = True,
        outside: bool = False,
    ) -> None:
        """Let the friend, or everybody, send to `network`; or not to that part of a network that it may.

        The longest prefix counts. What everybody may is not forbidden to a friend. `outside`: whatever the
        friend's rules say (set_policy).
        """

    def remove_destination(
        self, network: IPv4Network | IPv6Network, friend_number: int | None = None
    ) -> bool: ...
    def add_own_address(self, network: IPv4Network | IPv6Network) -> None:
        """Let everybody send to `network` (a /32 or /128), and nobody from it.

        Raises ValueError when it belongs to a friend.
        """

    def remove_own_address(self, network: IPv4Network | IPv6Network) -> bool: ...
    def set_groups(self, addresses: Iterable[IPv4Address | IPv6Address]) -> None:
        """Take part in these groups (multicast, 255.255.255.255), at most 32; no friend is in them yet.

        UDP packets that this machine sends to a group go to each friend in it, at a bounded rate for each
        friend; those of a friend in it are let in. DHCP does not cross. Raises ValueError for too many.
        """

    def join_groups(self, friend_number: int, addresses: Iterable[IPv4Address | IPv6Address]) -> None:
        """Set the groups that the friend takes part in; those that are none of ours are ignored."""

    def set_online(self, friend_number: int, online: bool) -> None:
        """Set whether the friend is online. Packets to an offline one are dropped, and answered with ICMP.

        Of each flow of TCP the newest segment is kept, in bounds, and sent as soon as the friend is back. So
        is a copy of what is sent to one that says nothing for two seconds, until it speaks again.
        """

    def heard(self, friend_number: int) -> None:
        """The friend was heard otherwise: what is kept for it is sent, and kept on until it speaks here.

        At most once a second.
        """

    def renumber(self, friend_number: int, new_number: int) -> None:
        """Give everything that is known of the friend to its new number; the old one is nobody's."""

    def set_mtu(self, friend_number: int, mtu: int) -> None:
        """Set the size of the largest IP packet for this friend, clamped to what is possible.

        Larger IPv4 packets are fragmented where that is allowed; IPv6 packets of up to 1280 bytes are always
        sent.
        """

    def set_bundles(self, friend_number: int, bundles: bool) -> None:
        """Set whether the friend takes bundles: small packets that were read together, in one Tox packet."""

    def set_policy(self, friend_number: int, rules: Iterable[FilterRule] | None) -> None:
        """Let the friend begin only what one of `rules` allows; None: everything.

        Destinations must be allowed as well. Answers to what we began pass. What the friend has begun, and is
        no longer allowed, is refused from now on.
        """

    def sending_to(self, friend_number: int, destination: IPv4Address | IPv6Address) -> Sending:
        """Whether that destination is allowed for the friend, or for everybody."""

    def judge(
        self, friend_number: int, destination: IPv4Address | IPv6Address, protocol: int, port: int = 0
    ) -> int | None:
        """The index of the first of the friend's rules that allows it to begin this; None: none does.

        `protocol` is as IP numbers it: 58 for ICMP to an IPv6 address. Raises ValueError when the friend has
        no rules.
        """

    def remove_friend(self, friend_number: int) -> None:
        """Remove the friend's routes, sources, destinations, rules and counters."""

    def counters(self, friend_number: int) -> Counters: ...
    @property
    def drops(self) -> dict[DropReason, int]:
        """The dropped packets that belong to no friend, by reason."""

    @property
    def refused(self) -> tuple[str, ...]:
        """The protocols of which the kernel turned out not to take super-packets: `TCP`, `UDP`.

        The packets of the refused super-packet were written one by one, and so are all later ones of that
        protocol.
        """
