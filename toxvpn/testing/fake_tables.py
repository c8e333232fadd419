"""The tables of a Datapath as plain dictionaries, so that a test can see what was put in."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from .._native.path.packets import Counters, PacketFormat

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class FakeTables:
    """Takes single addresses only. As the real one it refuses a source that belongs to another friend."""

    packet_format = PacketFormat.VPN

    def __init__(self) -> None:
        self.routes: dict[Address, int] = {}
        self.sources: dict[Address, int] = {}
        self.own: set[Address] = set()
        self.online: set[int] = set()
        self.mtu: dict[int, int] = {}

    def set_route(self, network: Network, number: int) -> None:
        self.routes[network.network_address] = number

    def remove_route(self, network: Network) -> bool:
        return self.routes.pop(network.network_address, None) is not None

    def allow_source(self, network: Network, number: int) -> None:
        address = network.network_address
        if address in self.own or self.sources.get(address, number) != number:
            raise ValueError(f"{address} belongs to somebody else")
        self.sources[address] = number

    def remove_source(self, network: Network) -> bool:
        return self.sources.pop(network.network_address, None) is not None

    def add_own_address(self, network: Network) -> None:
        if network.network_address in self.sources:
            raise ValueError(f"{network} belongs to a friend")
        self.own.add(network.network_address)

    def remove_own_address(self, network: Network) -> bool:
        known = network.network_address in self.own
        self.own.discard(network.network_address)
        return known

    def set_online(self, number: int, online: bool) -> None:
        (self.online.add if online else self.online.discard)(number)

    def set_mtu(self, number: int, mtu: int) -> None:
        self.mtu[number] = mtu

    def remove_friend(self, number: int) -> None:
        for table in (self.routes, self.sources):
            for address in [address for address, owner in table.items() if owner == number]:
                del table[address]
        self.online.discard(number)
        self.mtu.pop(number, None)

    def counters(self, number: int) -> Counters:
        return Counters(0, 0, 0, 0, {})
