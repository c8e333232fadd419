"""A TUN device in memory: a socket pair that keeps packet boundaries, with or without virtio_net_hdr.

The datapath gets `fd` and cannot tell the difference; the test plays the kernel. Needs no privileges.
"""

import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import Self

NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 = 0, 1, 4, 5
LARGEST = 70000


@dataclass(frozen=True, slots=True)
class VnetHeader:
    """struct virtio_net_hdr (linux/virtio_net.h), host byte order."""

    flags: int = 0
    gso_type: int = GSO_NONE
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    def pack(self) -> bytes:
        return struct.pack(
            "=BBHHHH",
            self.flags,
            self.gso_type,
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        return cls(*struct.unpack("=BBHHHH", data[:10]))


class MemoryTun:
    """A TUN in memory. It refuses writes of more than `largest` bytes, as some kernels do super-packets."""

    def __init__(self, *, vnet_hdr: bool = True, largest: int | None = None) -> None:
        if largest is None:
            self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        else:
            self._ours, self._theirs = bounded_pair(largest)
        for end in (self._ours, self._theirs):
            end.setblocking(False)
        self.vnet_hdr = vnet_hdr

    @property
    def fd(self) -> int:
        """The datapath's end."""
        return self._theirs.fileno()

    def inject(self, packet: bytes, vnet: VnetHeader | None = None) -> None:
        """Send this packet from the kernel into the network."""
        header = (vnet or VnetHeader()).pack() if self.vnet_hdr else b""
        self._ours.send(header + packet)

    def written(self) -> list[tuple[VnetHeader, bytes]]:
        """The packets that the datapath has written since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while data := self._ours.recv(LARGEST):
                vnet = VnetHeader.unpack(data) if self.vnet_hdr else VnetHeader()
                found.append((vnet, data[10:] if self.vnet_hdr else data))
        return found

    def packets(self) -> list[bytes]:
        return [packet for _, packet in self.written()]

    def hang_up(self) -> None:
        """Let reading find that the device is gone."""
        self._ours.shutdown(socket.SHUT_WR)

    def stop_reading(self) -> None:
        """Let writing find that the device is down."""
        self._ours.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO, IPV6_MTU = 23, 2, 24  # linux/in6.h
HEADERS = 48  # of UDP over IPv6


def bounded_pair(largest: int) -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets; the second one sends at most `largest` bytes at a time, more is EMSGSIZE."""
    pair = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2)]
    for end in pair:
        end.bind(("::1", 0))
    for end, other in zip(pair, reversed(pair), strict=True):
        end.connect(other.getsockname())
    pair[1].setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO)
    pair[1].setsockopt(socket.IPPROTO_IPV6, IPV6_MTU, largest + HEADERS)
    return pair[0], pair[1]
