"""The groups whose packets may cross the network, by name or address: checked, and what two sides share.

In: words from the configuration, or from a peer's status message. Out: the same words, checked, and their
addresses. Pure. Neighbours: tun/multicast.py makes them work; config/values.py and statusmessage.py read
them.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

MOST_GROUPS = 16
BROADCAST = "broadcast"
NAMED: dict[str, tuple[Address, ...]] = {
    # RFC 6762 §3
    "mdns": (IPv4Address("224.0.0.251"), IPv6Address("ff02::fb")),
    # UPnP Device Architecture 2.0 §1.1.1 and annex A
    "ssdp": (IPv4Address("239.255.255.250"), IPv6Address("ff02::c"), IPv6Address("ff05::c")),
    BROADCAST: (IPv4Address("255.255.255.255"),),
}
OF_ONE_LINK = frozenset(
    map(
        ip_address,
        # all hosts, all routers, RIP, HSRP; of IPv6 too, and DHCP's
        ("224.0.0.1", "224.0.0.2", "224.0.0.9", "224.0.0.102", "ff02::1", "ff02::2", "ff02::9", "ff02::1:2"),
    )
)
"""How a link is run is told to these; other links must not hear it."""
_LONGEST_WORD = 39


def parse_groups(words: Sequence[str]) -> tuple[str, ...]:
    """The groups as they are stated: sorted, each once. Raises ValueError, which says what is wrong."""
    groups = {word if word in NAMED else str(parse_address(word)) for word in words}
    if len(groups) > MOST_GROUPS:
        raise ValueError(f"{len(groups)} groups are more than {MOST_GROUPS}")
    return tuple(sorted(groups))


def parse_address(word: str) -> Address:
    """The address of a group without a name. Raises ValueError."""
    try:
        address = ip_address(word)
    except ValueError:
        names = ", ".join(NAMED)
        raise ValueError(f"{word!r} is not a group: give {names}, or an address such as 239.1.2.3") from None
    if not address.is_multicast:
        raise ValueError(f"{word} is not the address of a multicast group")
    of_one_machine = isinstance(address, IPv6Address) and address.packed[1] & 0xF <= 1  # RFC 4291 §2.7
    if address in OF_ONE_LINK or of_one_machine or getattr(address, "scope_id", None):
        raise ValueError(f"the group {word} belongs to one link, and cannot cross the network")
    return address


def stated_untrusted(words: Sequence[str]) -> tuple[str, ...]:
    """The groups that a peer states. Words that a later version may know are left out.

    Raises ValueError when there are too many, or one is too long.
    """
    if len(words) > MOST_GROUPS or any(len(word) > _LONGEST_WORD for word in words):
        raise ValueError
    groups: list[str] = []
    for word in words:
        try:
            groups += parse_groups([word])
        except ValueError:
            continue
    return tuple(sorted(set(groups)))


def addresses(groups: Sequence[str]) -> list[Address]:
    """The addresses of checked groups, each once; at most 32."""
    found = (address for group in groups for address in NAMED.get(group) or (ip_address(group),))
    return list(dict.fromkeys(found))


def shared(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, ...]:
    """Those of our groups that the peer takes part in, whatever it calls them."""
    joined = set(addresses(theirs))
    return tuple(group for group in ours if joined.issuperset(addresses([group])))
