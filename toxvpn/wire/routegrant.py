"""Networks that lie behind a machine: as they are typed, and which of a peer's a person lets us use.

In: text; out: networks. Used by config.toml, `toxvpn peer route` and peers.json. Neighbour:
tun/subnets/choice.py decides which of the granted networks are used.
"""

from collections.abc import Iterable
from ipaddress import IPv6Network, ip_interface, ip_network
from typing import Literal

from ..errors import UsageError
from .addressing import OVERLAY_IPV6
from .routes import IPNetwork

RouteGrant = tuple[IPNetwork, ...] | Literal["all"]
"""Networks, or whatever private ones the peer offers."""

NO_ROUTES: RouteGrant = ()
FEWEST_BITS = 8
"""A network with fewer bits is part of a default route: 0.0.0.0/1 is half of it."""


def parse_network(text: str) -> IPNetwork:
    """Raises UsageError, with a hint for an address inside of a network."""
    try:
        network = ip_network(text.strip())
    except ValueError:
        raise UsageError(_no_network(text)) from None
    if isinstance(network, IPv6Network) and network.network_address.scope_id:
        raise UsageError(f"{text!r} names an interface: leave out what follows the %")
    return network


def _no_network(text: str) -> str:
    try:
        return f"{text} is an address in a network: write {ip_interface(text.strip()).network}"
    except ValueError:
        return f"{text!r} is not a network such as 192.168.10.0/24 or fd00:10::/64"


def parse_networks(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    """Without repetitions, in the order given. Raises UsageError."""
    return tuple(dict.fromkeys(map(parse_network, texts)))


def parse_grant(words: list[str]) -> RouteGrant:
    """`["all"]`, `["none"]`, or networks. Raises UsageError."""
    if words == ["all"]:
        return "all"
    if words == ["none"]:
        return NO_ROUTES
    for word in ("all", "none"):
        if word in words:
            raise UsageError(f"{word!r} stands alone: give it or networks")
    return tuple(dict.fromkeys(map(parse_behind, words)))


def parse_behind(text: str) -> IPNetwork:
    """A network that can lie behind a peer. Raises UsageError."""
    network = parse_network(text)
    if (reason := unusable(network)) is not None:
        raise UsageError(f"{network} cannot lie behind a peer: {reason}")
    return network


def grant_words(grant: RouteGrant) -> list[str]:
    """What parse_grant reads."""
    if grant == "all":
        return ["all"]
    return [str(network) for network in grant] or ["none"]


def unusable(network: IPNetwork) -> str | None:
    """Why no machine can have this network behind it; None for a usual one."""
    if network.prefixlen < FEWEST_BITS:
        return "it is a default route or a large part of it, which takes an exit"
    nobodys = network.is_multicast or network.is_loopback or network.is_link_local or network.is_reserved
    if nobodys or int(network.network_address) >> (network.max_prefixlen - 8) == 0:  # 0.0.0.0/8, ::/8
        return "no machine can lead to such addresses"
    if network.version == 6 and network.overlaps(OVERLAY_IPV6):
        return f"it overlaps {OVERLAY_IPV6}, where the addresses of the VPN are"
    return None
