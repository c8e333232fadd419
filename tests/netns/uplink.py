"""Captures what a host sends by its uplink, and tells Tox's packets from all others."""

import socket
import threading
from collections import Counter
from collections.abc import Collection
from typing import Self

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from lab import Host

SO_RCVBUFFORCE = 33  # that of Linux, which the socket module lacks
NEIGHBOURS = {130, 131, 132, 133, 134, 135, 136, 143}  # ICMPv6: multicast listeners, routers, neighbours


class Capture:
    """From construction to the end of the `with`. `tox_ports`: the UDP ports of toxvpn there; `relays`: the
    addresses of TCP relays, to which nothing else there sends.
    """

    def __init__(self, host: Host, tox_ports: Collection[int], relays: Collection[str]) -> None:
        self._ports, self._relays = set(tox_ports), set(relays)
        self._socket = host.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind((host.interface, 3))  # ETH_P_ALL
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        self._socket.settimeout(0.1)
        self._frames: list[bytes] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def sorted(self) -> tuple[Counter[str], list[Packet]]:
        """How many were seen until now of each kind that may leave, and those that may not."""
        seen: Counter[str] = Counter()
        leaked = []
        for frame in self._frames.copy():
            packet = Ether(frame)
            kind = self._kind(packet)
            if kind:
                seen[kind] += 1
            else:
                leaked.append(packet)
        return seen, leaked

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                frame, address = self._socket.recvfrom(1 << 16)
            except TimeoutError:
                continue
            except OSError:  # the host is gone
                return
            if address[2] == socket.PACKET_OUTGOING:
                self._frames.append(frame)

    def _kind(self, packet: Packet) -> str | None:
        if packet.haslayer(ARP):
            return "ARP"
        if packet.haslayer(IPv6) and packet[IPv6].nh in (0, 58) and bytes(packet[IPv6].payload):
            control = packet[IPv6].payload if packet[IPv6].nh == 58 else packet[IPv6].payload.payload
            if getattr(control, "type", None) in NEIGHBOURS:
                return "ND"
        if (packet.haslayer(ICMP) and packet[ICMP].type == 3) or packet.haslayer(ICMPv6DestUnreach):
            return "ICMP about Tox" if self._quotes_tox(packet) else None
        if packet.haslayer(UDP) and packet[UDP].sport in self._ports:
            return "Tox UDP"
        if packet.haslayer(TCP) and (packet[IP] if packet.haslayer(IP) else packet[IPv6]).dst in self._relays:
            return "Tox TCP"
        return None

    def _quotes_tox(self, packet: Packet) -> bool:
        """The kernel's answer to datagrams that come after toxvpn was killed."""
        quoted = packet.getlayer("UDP in ICMP") or packet.getlayer("UDPerror")
        return quoted is not None and quoted.dport in self._ports
