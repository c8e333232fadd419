"""A datapath between a TUN and a carrier in memory, with friends that have addresses."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Self

from .._native.path.datapath import Datapath
from .._native.path.packets import DropReason, PacketFormat
from ..wire.ip import MAX_MTU, frame_vpn
from .memory_carrier import MemoryCarrier
from .memory_tun import MemoryTun, VnetHeader

OWN = ("100.64.0.1", "fd74:6f78::1")
FRIENDS = {3: ("100.64.0.2", "fd74:6f78::2"), 4: ("100.64.0.3", "fd74:6f78::3")}


class MemoryPath:
    """A datapath whose own addresses are OWN, and whose FRIENDS are online and have theirs."""

    def __init__(
        self,
        *,
        vnet_hdr: bool = True,
        udp_offload: bool = True,
        mtu: int = MAX_MTU,
        carrier_port: int = 0,
        largest_write: int | None = None,
    ) -> None:
        self.tun = MemoryTun(vnet_hdr=vnet_hdr, largest=largest_write)
        self.carrier = MemoryCarrier()
        self.datapath = Datapath(
            self.carrier,
            self.tun.fd,
            PacketFormat.VPN,
            mtu=mtu,
            vnet_hdr=vnet_hdr,
            udp_offload=udp_offload,
            carrier_port=carrier_port,
        )
        for address in OWN:
            self.datapath.add_own_address(ip_network(address))
        for friend_number, addresses in FRIENDS.items():
            self.datapath.set_online(friend_number, True)
            for address in addresses:
                self.datapath.set_route(ip_network(address), friend_number)
                self.datapath.allow_source(ip_network(address), friend_number)

    def outbound(self, packet: bytes, vnet: VnetHeader | None = None) -> list[tuple[int, bytes]]:
        """Send a packet from the kernel; return what goes to friends, without the 5-byte frames."""
        self.tun.inject(packet, vnet)
        self.datapath.read_tun()
        sent = [(friend_number, data[5:]) for friend_number, data in self.carrier.sent]
        self.carrier.sent.clear()
        return sent

    def inbound(self, *packets: bytes, friend_number: int = 3) -> list[tuple[VnetHeader, bytes]]:
        """Send packets from a friend; return what the kernel gets once they are flushed."""
        for packet in packets:
            self.carrier.deliver(friend_number, frame_vpn(packet))
        self.carrier.flush_inbound()
        return self.tun.written()

    def drops(self, friend_number: int | None = None) -> dict[DropReason, int]:
        """The reasons that occurred, each with how often."""
        counted = (
            self.datapath.drops if friend_number is None else self.datapath.counters(friend_number).drops
        )
        return {reason: count for reason, count in counted.items() if count}

    def close(self) -> None:
        self.datapath.close()
        self.tun.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def address_pair(version: int, friend_number: int = 3) -> tuple[IPv4Address | IPv6Address, ...]:
    """Our address and the friend's, of one IP version."""
    index = 0 if version == 4 else 1
    return ip_address(OWN[index]), ip_address(FRIENDS[friend_number][index])
