"""Longest-prefix look-up in pure Python: the reference that tests compare the compiled one in _native with.

In: networks, each with a value; out: the value of the longest one that covers an address. The packet path
keeps three such tables: routes (destination to friend), sources (who may send from where) and destinations
(what a friend may reach, by scope).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPNetwork = IPv4Network | IPv6Network
IPAddress = IPv4Address | IPv6Address

EVERYWHERE: dict[int, IPNetwork] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
"""By IP version."""


class PrefixTable:
    """Values are 32-bit numbers, such as friend numbers; each scope is a table of its own."""

    def __init__(self) -> None:
        self._values: dict[tuple[int, IPNetwork], int] = {}

    def __len__(self) -> int:
        return len(self._values)

    def set(self, network: IPNetwork, value: int, scope: int = 0) -> None:
        """Adds the prefix, or replaces the value that exactly this prefix had."""
        self._values[scope, network] = value

    def remove(self, network: IPNetwork, scope: int = 0) -> bool:
        """False when exactly this prefix was not there."""
        return self._values.pop((scope, network), None) is not None

    def get(self, network: IPNetwork, scope: int = 0) -> int | None:
        """The value of exactly this prefix."""
        return self._values.get((scope, network))

    def lookup(self, address: IPAddress, scope: int = 0) -> int | None:
        """The value of the longest prefix that covers `address`."""
        covering = [
            (network.prefixlen, value)
            for (place, network), value in self._values.items()
            if place == scope and network.version == address.version and address in network
        ]
        return max(covering)[1] if covering else None
