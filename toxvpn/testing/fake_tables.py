"""The tables of a Datapath as plain dictionaries, so that a test can see what was put in."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from .._native.path.packets import Counters, PacketFormat

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class FakeTables:
    """A single address stands for its network. As the real one it refuses a source of another friend's."""

    packet_format = PacketFormat.VPN

    def __init__(self) -> None:
        self.routes: dict[Address | Network, int] = {}
        self.sources: dict[Address | Network, int] = {}
        self.destinations: set[tuple[Network, int | None]] = set()
        self.own: set[Address] = set()
        self.online: set[int] = set()
        self.mtu: dict[int, int] = {}
        self.bundles: set[int] = set()
        self.groups: list[Address] = []
        self.joined: dict[int, list[Address]] = {}

    def set_route(self, network: Network, number: int) -> None:
        self.routes[_place(network)] = number

    def remove_route(self, network: Network) -> bool:
        return self.routes.pop(_place(network), None) is not None

    def allow_source(self, network: Network, number: int) -> None:
        address = _place(network)
        if address in self.own or self.sources.get(address, number) != number:
            raise ValueError(f"{address} belongs to somebody else")
        self.sources[address] = number

    def remove_source(self, network: Network) -> bool:
        return self.sources.pop(_place(network), None) is not None

    def allow_destination(self, network: Network, number: int | None = None) -> None:
        self.destinations.add((network, number))

    def remove_destination(self, network: Network, number: int | None = None) -> bool:
        known = (network, number) in self.destinations
        self.destinations.discard((network, number))
        return known

    def add_own_address(self, network: Network) -> None:
        if network.network_address in self.sources:
            raise ValueError(f"{network} belongs to a friend")
        self.own.add(network.network_address)

    def remove_own_address(self, network: Network) -> bool:
        known = network.network_address in self.own
        self.own.discard(network.network_address)
        return known

    def set_groups(self, addresses: Iterable[Address]) -> None:
        self.groups, self.joined = list(addresses), {}

    def join_groups(self, number: int, addresses: Iterable[Address]) -> None:
        self.joined[number] = [address for address in addresses if address in self.groups]

    def set_online(self, number: int, online: bool) -> None:
        (self.online.add if online else self.online.discard)(number)

    def set_mtu(self, number: int, mtu: int) -> None:
        self.mtu[number] = mtu

    def set_bundles(self, number: int, bundles: bool) -> None:
        (self.bundles.add if bundles else self.bundles.discard)(number)

    def renumber(self, number: int, new_number: int) -> None:
        for table in (self.routes, self.sources):
            table.update({address: new_number for address, owner in table.items() if owner == number})
        self.destinations = {(each, new_number if of == number else of) for each, of in self.destinations}
        if number in self.online:
            self.online.add(new_number)
        self.online.discard(number)
        if (mtu := self.mtu.pop(number, None)) is not None:
            self.mtu[new_number] = mtu

    def remove_friend(self, number: int) -> None:
        for table in (self.routes, self.sources):
            for address in [address for address, owner in table.items() if owner == number]:
                del table[address]
        self.destinations = {each for each in self.destinations if each[1] != number}
        self.online.discard(number)
        self.mtu.pop(number, None)

    def counters(self, number: int) -> Counters:
        return Counters(0, 0, 0, 0, {})


def _place(network: Network) -> Address | Network:
    return network.network_address if network.prefixlen == network.max_prefixlen else network
