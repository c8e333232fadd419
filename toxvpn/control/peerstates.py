"""Peers as `status` tells of them: the node's and the roster's knowledge put together.

What a peer has for addresses and traffic is the daemon's to say (`Measured`), and so is a round trip.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from ..members.roster import Roster
from ..tox.node import Node
from ..tox.peer import Peer
from ..wire.addressing import overlay_ipv6
from ..wire.ip import vpn_mtu
from .status import PeerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a packet path knows of one peer; `rtt_s` None when it was never measured."""

    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    rx_bytes: int = 0
    tx_bytes: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)
    rtt_s: float | None = None
    address_problem: str | None = None


def peer_states(
    node: Node, roster: Roster | None, wall: float, measure: Callable[[Peer], Measured] | None = None
) -> list[PeerState]:
    """Everybody who may come in or whom we ask to. `wall` is the time now; a client has no roster.

    Without `measure` (no VPN) a peer's address is the one that its key gives.
    """
    configured = {} if roster is None else roster.peers()
    states = []
    for peer in node:
        known = configured.get(peer.public_key)
        grant = None if roster is None else roster.grant(peer.public_key)
        seen = Measured(ipv6=overlay_ipv6(peer.public_key)) if measure is None else measure(peer)
        states.append(
            PeerState(
                public_key=peer.public_key,
                name=known.name if known else None,
                path=peer.connection.path,
                ipv4=seen.ipv4,
                ipv6=seen.ipv6,
                rx_bytes=seen.rx_bytes,
                tx_bytes=seen.tx_bytes,
                drops=seen.drops,
                since=wall - (node.now() - peer.changed_s),
                rtt_s=seen.rtt_s,
                configured=known is not None or roster is None,
                grant=grant.value if grant else None,
                asked=roster is not None and roster.is_asked(peer.public_key),
                address_problem=seen.address_problem,
                mtu=vpn_mtu(peer.packet_bytes) if peer.online else None,
                introduced=peer.status_text is not None,
            )
        )
    return states
