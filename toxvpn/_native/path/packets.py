"""Types that the compiled packet path shares with Python: packet formats, drop reasons, counters."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple


class PacketFormat(IntEnum):
    """The content of a lossy Tox packet, by its ID."""

    VPN = 200  # struct tun_pi and an IPv4 or IPv6 packet (docs/wire-format.md §2)
    STACK = 201  # an IPv6 packet between two private stacks (docs/wire-format.md §4)


FRAME_BYTES = {PacketFormat.VPN: 5, PacketFormat.STACK: 1}
"""Bytes before the IP packet."""


class DropReason(StrEnum):
    """Why a packet was dropped; in the order of `enum drop` in path.h."""

    NO_ROUTE = "no_route"
    OFFLINE = "offline"
    QUEUE_FULL = "queue_full"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    DESTINATION_NOT_ALLOWED = "destination_not_allowed"
    TOO_BIG = "too_big"
    MALFORMED = "malformed"
    DEVICE = "device"  # the TUN refuses it: the interface is down or gone
    LOOP = "loop"  # Tox itself sent it: it must not travel inside Tox
    LATE = "late"  # it has waited too long for room, so its sender must slow down (CoDel)
    POLICY = "policy"  # the peer may not reach that, and it is no answer to what we began
    MULTICAST_RATE = "multicast_rate"  # more packets to groups than one peer may send or get


class Place(StrEnum):
    """Destinations that are no network."""

    HERE = "here"  # this machine's own addresses in the network
    ANYWHERE = "anywhere"


class Sending(StrEnum):
    """What a friend may do with a destination. OUTSIDE: no rules are asked."""

    FORBIDDEN = "forbidden"
    ALLOWED = "allowed"
    OUTSIDE = "outside"


LAST_PORT = 65535


class FilterRule(NamedTuple):
    """What a friend may begin. `protocol`: as IP numbers it, 1 for ICMP of both versions; None: any.

    All ports, 0 to 65535, also stand for protocols without ports.
    """

    where: IPv4Network | IPv6Network | Place
    protocol: int | None = None
    first_port: int = 0
    last_port: int = LAST_PORT


@dataclass(frozen=True, slots=True)
class Counters:
    """IP packets, and their bytes without our frame; rx is inbound (out of Tox), tx outbound."""

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    drops: dict[DropReason, int]
    """Has every reason, also those that never occurred."""
