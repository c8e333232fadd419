"""Derives a public key's addresses on the network: one IPv6 address, and a row of IPv4 candidates.

In: 32-byte Tox public keys; out: addresses. `addressbook` decides who has a candidate that two keys share.

IPv6: fd74:6f78::/32 and 96 bits of BLAKE2b(key). Anyone can recompute it, and no one can aim at it.

IPv4: 100.64.0.0/10 (RFC 6598, shared address space) leaves 22 bits, too few to rule out collisions: among a
hundred peers, two share an address with a probability of about 1 in 800. So a key has a row of CANDIDATES
addresses in each range, hashed from the key and a counter, and moves on in that row. The last byte is never 0
or 255, which some software takes for a network or broadcast address. Where 100.64.0.0/10 is in use locally (a
carrier's NAT, another VPN), the next of RANGES is used. Both rows and ranges are fixed, so that a stated
address can be checked against the key.
"""

from collections.abc import Collection, Iterator
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

OVERLAY_IPV6 = IPv6Network("fd74:6f78::/32")
RANGES = (IPv4Network("100.64.0.0/10"), IPv4Network("10.64.0.0/10"), IPv4Network("198.18.0.0/15"))
# Many enough that a row has a free address (but for 2^-300 with a hundred peers), and few enough that
# searching a key for a given address stays 22 - 4 bits of work per range.
CANDIDATES = 16

PUBLIC_KEY_BYTES = 32
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_PERSON_IPV6 = b"toxvpn ipv6"
_PERSON_IPV4 = b"toxvpn ipv4"


def overlay_ipv6(public_key: bytes) -> IPv6Address:
    """The IPv6 address of a 32-byte public key (docs/wire-format.md §4)."""
    digest = blake2b(public_key, digest_size=12, person=_PERSON_IPV6).digest()
    return IPv6Address(OVERLAY_IPV6.network_address.packed[:4] + digest)


def ipv4_candidate(public_key: bytes, network: IPv4Network, counter: int) -> IPv4Address:
    """The address number `counter` of the key's row in `network` (a /24 or larger)."""
    salt = counter.to_bytes(4, "big") + network.network_address.packed
    digest = blake2b(public_key, digest_size=8, person=_PERSON_IPV4, salt=salt).digest()
    number = int.from_bytes(digest, "big")
    blocks = network.num_addresses >> 8
    last = 1 + number % 254
    return network.network_address + ((number // 254 % blocks) << 8 | last)


def ipv4_candidates(public_key: bytes, ranges: Collection[IPv4Network] = RANGES) -> Iterator[IPv4Address]:
    """Every address that the key may have, in the order in which it tries them."""
    for network in ranges:
        for counter in range(CANDIDATES):
            yield ipv4_candidate(public_key, network, counter)


def is_ipv4_candidate(
    public_key: bytes, address: IPv4Address, ranges: Collection[IPv4Network] = RANGES
) -> bool:
    """Whether `address` is derived from the key, rather than chosen by somebody."""
    return any(
        address == ipv4_candidate(public_key, network, counter)
        for network in ranges
        if address in network
        for counter in range(CANDIDATES)
    )


def is_host_address(address: IPv4Address) -> bool:
    """Whether a single host may have the address (RFC 6890: not multicast, loopback, 0/8, 240/4 …)."""
    return not (
        address.is_multicast
        or address.is_loopback
        or address.is_link_local
        or address.is_reserved
        or address in _THIS_NETWORK
    )


class NetworkSet:
    """Tells whether any of many networks contains an address, in at most 33 look-ups."""

    def __init__(self, networks: Collection[IPv4Network]) -> None:
        self._bases: dict[int, set[int]] = {}
        for network in networks:
            self._bases.setdefault(int(network.netmask), set()).add(int(network.network_address))

    def __contains__(self, address: IPv4Address) -> bool:
        number = int(address)
        return any(number & mask in bases for mask, bases in self._bases.items())


def range_of(address: IPv4Address, ranges: Collection[IPv4Network] = RANGES) -> IPv4Network | None:
    return next((network for network in ranges if address in network), None)


def free_ranges(
    local: Collection[IPv4Network], ranges: Collection[IPv4Network] = RANGES
) -> tuple[IPv4Network, ...]:
    """The ranges that no local network overlaps, in order of preference."""
    return tuple(network for network in ranges if not any(network.overlaps(other) for other in local))
