"""Looks at the machine's own networks before ours is put beside them.

In: the local interfaces (netifaces); out: the networks that are taken, and the IPv4 address to use.
Neighbours: `wire.addressing` (candidates of a key), `netconf` (who sets the address).
"""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import netifaces

from toxvpn.errors import ConfigError
from toxvpn.wire.addressing import RANGES, free_ranges, ipv4_candidates, is_host_address


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    interface: str
    address: IPv4Address | IPv6Address
    network: IPv4Network | IPv6Network


def local_networks(ignore: Collection[str] = ()) -> list[LocalNetwork]:
    """What every interface not named in `ignore` is attached to, IPv4 first."""
    found: list[LocalNetwork] = []
    for family, interface_type in ((netifaces.AF_INET, IPv4Interface), (netifaces.AF_INET6, IPv6Interface)):
        for name in netifaces.interfaces():
            if name in ignore:
                continue
            for entry in netifaces.ifaddresses(name).get(family, ()):
                address = entry["addr"].partition("%")[0]
                parsed = interface_type(f"{address}/{_prefix_length(entry)}")
                found.append(LocalNetwork(name, parsed.ip, parsed.network))
    return found


def overlapping(network: IPv4Network | IPv6Network, local: Collection[LocalNetwork]) -> LocalNetwork | None:
    """The first of the local networks that shares addresses with `network`."""
    for candidate in local:
        if candidate.network.version == network.version and candidate.network.overlaps(network):
            return candidate
    return None


def choose_ipv4(
    public_key: bytes,
    local: Collection[LocalNetwork],
    *,
    requested: IPv4Address | None = None,
    taken: Collection[IPv4Address] = (),
) -> IPv4Address | None:
    """Our IPv4 address: the one requested, else the key's first candidate outside `local` and `taken`.

    None when every range is in use here: then there is IPv6 only. Raises ConfigError when the
    requested address lies in a local network, is a public one, or can be no host's.
    """
    if requested is not None:
        if not is_host_address(requested):
            raise ConfigError(f"The address {requested} can be no host's: choose another with --address.")
        if requested.is_global:
            raise ConfigError(
                f"The address {requested} is a public one, which no peer would believe: choose a private one "
                "with --address, such as 10.x.y.z."
            )
        clash = overlapping(IPv4Network(requested), local)
        if clash:
            raise ConfigError(
                f"The address {requested} lies in {clash.network} of the interface {clash.interface}: "
                "choose another with --address, or leave it out and one is chosen."
            )
        return requested
    networks = [entry.network for entry in local if isinstance(entry.network, IPv4Network)]
    candidates = ipv4_candidates(public_key, free_ranges(networks, RANGES))
    return next((address for address in candidates if address not in taken), None)


def _prefix_length(entry: dict[str, str]) -> int:
    """From a mask such as 255.255.255.0 or ffff:ffff::; netifaces may write /64 behind an IPv6 one."""
    mask = entry.get("mask") or entry.get("netmask") or ""
    if "/" in mask:
        return int(mask.rpartition("/")[2])
    if not mask:
        return 128 if ":" in entry["addr"] else 32
    packed = IPv6Address(mask).packed if ":" in mask else IPv4Address(mask).packed
    return int.from_bytes(packed, "big").bit_count()
