"""Says which IPv4 addresses are not the usual ones, and why: a program beside us uses the range they were in.

Pure. In: addresses, and what this machine uses (`local_networks`); out: lines for the log and for `status`.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from ...wire.addressing import RANGES, range_of
from .local_networks import LocalNetwork

USUAL = RANGES[0]


def own_moved(
    own: Sequence[IPv4Address], local: Sequence[LocalNetwork], requested: IPv4Address | None
) -> str:
    """Why our first address is another one than usual, or may not work; "" when all is as usual."""
    first = own[0] if own else None
    if first is not None and (first == requested or (requested is None and first in USUAL)):
        return _crowded(first, local)
    have = "no IPv4 address" if first is None else str(first)
    if requested is not None:
        return f"{have} instead of {requested}{_because(IPv4Network(requested), local)}"
    return f"{have} instead of an address in {USUAL}{_because(USUAL, local)}"


def peer_moved(
    stated: IPv4Address | None, used: IPv4Address | None, local: Sequence[LocalNetwork]
) -> str | None:
    """Why we know a peer by another address than the one it states first, or it states no usual one."""
    if stated is None or used is None:
        return None
    if used != stated:
        within = range_of(stated)
        return f"{used} instead of {stated}{_because(within, local) if within else ''}"
    if range_of(used) in (None, USUAL):
        return None
    return f"{used} instead of an address in {USUAL}: its machine uses that range for something else"


def _crowded(address: IPv4Address, local: Sequence[LocalNetwork]) -> str:
    """Programs such as Tailscale drop packets of their whole range that come from other devices."""
    within = range_of(address)
    because = _because(within, local) if within else ""
    return because and f"{address} lies in {within}{because}, and its firewall may drop packets of the VPN"


def _because(network: IPv4Network, local: Sequence[LocalNetwork]) -> str:
    """Whatever keeps us out of the network; an isolated one does only where it has the very address."""
    for each in local:
        if each.network.overlaps(network) and (
            network.prefixlen == network.max_prefixlen or not each.isolated
        ):
            return f": this machine uses {each.network} {each.what}"
    return ""
