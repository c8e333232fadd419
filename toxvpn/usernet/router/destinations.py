"""Where a packet for this router leads outside, if anywhere: pure.

In: the router's own overlay addresses, and the networks behind it that it offers. Out: a host for ordinary
sockets. The own addresses are this machine: by them a peer that may reach `localhost:22` reaches its ssh
server.
"""

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum

from ...tox.peer import Peer
from ...wire.answers import ICMP, Address
from ...wire.ip import TCP, UDP

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOCALHOST = "localhost"
_LOOPBACK = {4: ("127.0.0.1", "::1"), 6: ("::1", "127.0.0.1")}


class Protocol(Enum):
    TCP = TCP
    UDP = UDP
    ICMP = ICMP


Allows = Callable[[Peer, Protocol, Address, int], bool]
"""Whether the peer may reach that address, ours or one behind, at that port (0 for ICMP)."""


@dataclass(frozen=True, slots=True)
class Destinations:
    """`own` gives our overlay addresses, which may change; `behind`: the networks that we offer."""

    own: Callable[[], Collection[Address]]
    behind: Collection[Network]

    def host(self, address: Address) -> str | None:
        """The host to connect to, an address or LOCALHOST; None where we lead nobody."""
        if address in self.own():
            return LOCALHOST
        if is_unicast(address) and any(address in network for network in self.behind):
            return str(address)
        return None


def addresses(host: str, version: int) -> tuple[str, ...]:
    """The numeric addresses of a host, those of the IP version by which it was asked for first."""
    return _LOOPBACK[version] if host == LOCALHOST else (host,)


def is_unicast(address: Address) -> bool:
    """Whether it can be another machine's: this machine answers for 0.0.0.0 and :: as for its loopback."""
    plain = getattr(address, "ipv4_mapped", None) or address
    odd = plain.is_loopback or plain.is_unspecified or plain.is_multicast or plain.is_link_local
    return not odd and plain != ipaddress.IPv4Address("255.255.255.255") and plain not in _THIS_NETWORK


_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
