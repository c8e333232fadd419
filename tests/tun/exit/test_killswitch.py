"""What leaves a machine with the table, in a namespace whose uplink is a cable that is listened to."""

import contextlib
import os
import socket
import subprocess
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tun.exit.client import client_ports
from toxvpn.tun.exit.killswitch import MARK, KillSwitch
from toxvpn.tun.host import nftables
from toxvpn.tun.host.device import VNET_HEADER_BYTES, open_tun

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun"),
]

OURS = {4: "192.168.1.2", 6: "fd00:1::2"}
ROUTER = {4: "192.168.1.1", 6: "fd00:1::1"}
OUTSIDE = {4: "203.0.113.9", 6: "2001:db8::9"}
ROUTER_MAC = "02:00:00:00:00:01"
HOST_MAC = "02:00:00:00:00:02"
SERVER_PORT = 2222
HOST = f"""
ip link set lo up
ip link add eth0 address {HOST_MAC} type veth peer name wire address {ROUTER_MAC}
ip link set eth0 up
ip link set wire up
ip address add {OURS[4]}/24 dev eth0
ip address add {OURS[6]}/64 dev eth0 nodad
ip neighbour add {ROUTER[4]} lladdr {ROUTER_MAC} dev eth0
ip neighbour add {ROUTER[6]} lladdr {ROUTER_MAC} dev eth0
ip route add default via {ROUTER[4]}
ip route add default via {ROUTER[6]}
"""


@dataclass(frozen=True)
class Sent:
    """A datagram, or (`tcp`) the attempt to connect, by a program; `bound` to the uplink, with `mark`."""

    to: str
    port: int = 9
    tcp: bool = False
    bound: bool = False
    mark: int = 0

    def go(self) -> None:
        family = socket.AF_INET6 if ":" in self.to else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM if self.tcp else socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if self.bound:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            if self.mark:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self.mark)
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.connect((self.to, self.port))
                if not self.tcp:
                    sock.send(b"secret")

    def seen_in(self, packets: list[Packet]) -> bool:
        layer = TCP if self.tcp else UDP
        return any(
            packet.haslayer(layer) and packet[layer].dport == self.port and packet[1].dst == self.to
            for packet in packets
        )


class Wire:
    """The other end of the uplink."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind(("wire", 0))
        self._socket.setblocking(False)

    def put(self, packet: Packet) -> None:
        self._socket.send(bytes(Ether(src=ROUTER_MAC, dst=HOST_MAC) / packet))

    def took(self) -> list[Packet]:
        """What has left the machine; a veth delivers within the call that sends."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, address = self._socket.recvfrom(2048)
                if address[2] != socket.PACKET_OUTGOING:
                    found.append(Ether(data))
        return found


def host() -> None:
    Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode").write_text("1")
    Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
    for line in HOST.split("\n"):
        subprocess.run(line.split(), check=True) if line else None


def load(switch: KillSwitch) -> None:
    nftables.load("inet", "toxvpn_exit_toxvpn0", switch.content)


def leaves(switch: KillSwitch, *sent: Sent, with_device: bool = False) -> list[bool]:
    """Which of them leave by the uplink, by which the routes send them all, as after a kill."""

    def scene() -> list[bool]:
        host()
        index = None
        if with_device:
            open_tun("toxvpn0")
            index = socket.if_nametoindex("toxvpn0")
        wire = Wire()
        load(replace(switch, index=index))
        for each in sent:
            each.go()
        packets = wire.took()
        return [each.seen_in(packets) for each in sent]

    return in_new_netns(scene)


LEAKS = [
    Sent(to, port, tcp, bound)
    for to in OUTSIDE.values()
    for port in (443, 53)
    for tcp in (False, True)
    for bound in (False, True)
]
DNS = [Sent(to, port, tcp) for to in ROUTER.values() for port in (53, 853) for tcp in (False, True)]
LOCAL = [
    *(Sent(to, tcp=tcp) for to in ROUTER.values() for tcp in (False, True)),
    Sent("255.255.255.255", bound=True),
    Sent("224.0.0.251", 5353, bound=True),
]


@pytest.mark.parametrize("with_device", [False, True], ids=["killed", "up"])
def test_without_a_mark_nothing_leaves_that_is_not_for_the_local_network(with_device: bool) -> None:
    sent = (*LEAKS, *DNS, *LOCAL)
    passed = leaves(KillSwitch(), *sent, with_device=with_device)
    assert [each for each, left in zip(sent, passed, strict=True) if left] == LOCAL


def test_nor_for_that_one_if_it_is_shut() -> None:
    assert not any(leaves(KillSwitch(lan=False), *LEAKS, *DNS, *LOCAL))


def test_with_the_mark_everything_leaves() -> None:
    marked = [replace(each, mark=MARK) for each in (*LEAKS, *DNS, *LOCAL)]
    assert all(leaves(KillSwitch(lan=False), *marked))


def test_a_refused_program_learns_so_at_once() -> None:
    def scene() -> list[str]:
        host()
        load(KillSwitch())
        said = []
        for each in OUTSIDE.values():
            with socket.socket(socket.AF_INET6 if ":" in each else socket.AF_INET) as sock:
                sock.settimeout(10)
                try:
                    sock.connect((each, 443))
                except OSError as failure:
                    said.append(failure.strerror or type(failure).__name__)
        return said

    assert in_new_netns(scene) == ["No route to host", "Permission denied"]


def ip(version: int, **fields: Any) -> Packet:
    return (IP if version == 4 else IPv6)(**fields)


@pytest.mark.parametrize("version", [4, 6])
def test_what_comes_from_outside_is_answered_by_the_way_it_came(version: int) -> None:
    def scene() -> list[str]:
        host()
        wire = Wire()
        load(KillSwitch(lan=False))
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        listener = socket.create_server((OURS[version], SERVER_PORT), family=family)
        wire.put(
            ip(version, src=OUTSIDE[version], dst=OURS[version])
            / TCP(sport=1234, dport=SERVER_PORT, flags="S")
        )
        answers = [str(packet[TCP].flags) for packet in wire.took() if packet.haslayer(TCP)]
        listener.close()
        return answers

    assert in_new_netns(scene) == ["SA"]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("ours", [True, False], ids=["began outside", "began here"])
def test_of_connections_older_than_the_table_those_that_began_outside_go_on(version: int, ours: bool) -> None:
    def scene() -> bool:
        host()
        wire = Wire()
        peer, family = (OUTSIDE[version], 1234), socket.AF_INET if version == 4 else socket.AF_INET6
        listener = socket.create_server((OURS[version], SERVER_PORT), family=family)
        wire.put(
            ip(version, src=peer[0], dst=OURS[version])
            / TCP(sport=peer[1], dport=SERVER_PORT, flags="S", seq=1)
        )
        [answer] = [packet for packet in wire.took() if packet.haslayer(TCP)]
        wire.put(
            ip(version, src=peer[0], dst=OURS[version])
            / TCP(sport=peer[1], dport=SERVER_PORT, flags="A", seq=2, ack=answer[TCP].seq + 1)
        )
        connection, _ = listener.accept()
        load(KillSwitch(servers=frozenset({SERVER_PORT} if ours else ())))
        wire.took()
        connection.send(b"goes on")
        return any(packet.haslayer(Raw) and b"goes on" in bytes(packet) for packet in wire.took())

    assert in_new_netns(scene) is ours


@pytest.mark.parametrize("version", [4, 6])
def test_nor_do_those_that_began_here_when_the_other_side_speaks_first(version: int) -> None:
    def scene() -> bool:
        host()
        wire = Wire()
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with socket.socket(family) as sock:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect((OUTSIDE[version], 443))
            [syn] = [packet for packet in wire.took() if packet.haslayer(TCP)]
            ports = {"sport": 443, "dport": syn[TCP].sport, "ack": syn[TCP].seq + 1}
            there = ip(version, src=OUTSIDE[version], dst=OURS[version])
            wire.put(there / TCP(flags="SA", seq=1, **ports))
            load(KillSwitch(servers=frozenset({SERVER_PORT})))
            wire.took()
            wire.put(there / TCP(flags="PA", seq=2, **ports) / b"more")
            with contextlib.suppress(OSError):
                sock.send(b"secret")
            return any(packet.haslayer(TCP) for packet in wire.took())

    assert not in_new_netns(scene)


@pytest.mark.parametrize("version", [4, 6])
def test_nor_does_an_older_conversation_of_datagrams(version: int) -> None:
    def scene() -> bool:
        host()
        wire = Wire()
        with socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.connect((OUTSIDE[version], 443))
            clients = client_ports()
            load(KillSwitch(clients=clients))
            [port] = clients
            with socket.socket(
                sock.family, socket.SOCK_DGRAM
            ) as server:  # at a port of a connection of its own
                for each in (server, sock):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("", port))
                assert not client_ports()
            wire.put(ip(version, src=OUTSIDE[version], dst=OURS[version]) / UDP(sport=443, dport=port))
            with contextlib.suppress(OSError):
                sock.send(b"secret")
        return any(packet.haslayer(Raw) and b"secret" in bytes(packet) for packet in wire.took())

    assert not in_new_netns(scene)


@pytest.mark.parametrize("version", [4, 6])
def test_nobody_outside_opens_a_way_for_what_has_the_vpns_address(version: int) -> None:
    """Else the local network could say which datagrams it wants to see: it sends what they would answer."""
    ours = {4: "100.64.1.1", 6: "fd74:6f78::1"}[version]

    def scene() -> bool:
        host()
        wire, _device = Wire(), open_tun("toxvpn0", offload=False)
        for line in (
            "ip link set toxvpn0 up",
            "ip address add 100.64.1.1/32 dev toxvpn0",
            "ip address add fd74:6f78::1/128 dev toxvpn0 nodad",
        ):
            subprocess.run(line.split(), check=True)
        load(KillSwitch(socket.if_nametoindex("toxvpn0")))
        wire.put(ip(version, src=OUTSIDE[version], dst=ours) / UDP(sport=53, dport=4000) / b"?")
        with socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind((ours, 4000))
            with contextlib.suppress(OSError):
                sock.sendto(b"secret", (OUTSIDE[version], 53))
        return any(packet.haslayer(Raw) and b"secret" in bytes(packet) for packet in wire.took())

    assert not in_new_netns(scene)


@pytest.mark.parametrize("version", [4, 6])
def test_dns_for_the_local_network_goes_to_the_exit(version: int) -> None:
    resolvers: dict[int, IPv4Address | IPv6Address] = {
        4: IPv4Address("100.64.9.9"),
        6: IPv6Address("fd74:6f78::9"),
    }
    resolver = resolvers[version]

    def scene() -> tuple[list[tuple[str, str]], bool]:
        host()
        wire, device = Wire(), open_tun("toxvpn0", offload=False)
        for line in (
            "ip link set toxvpn0 up",
            "ip address add 100.64.1.1/32 dev toxvpn0",
            "ip address add fd74:6f78::1/128 dev toxvpn0 nodad",
            f"ip route add {resolver} dev toxvpn0",
        ):
            subprocess.run(line.split(), check=True)
        load(KillSwitch(socket.if_nametoindex("toxvpn0"), resolvers=(resolver,)))
        for tcp in (False, True):
            Sent(ROUTER[version], 53, tcp).go()
            Sent(ROUTER[version], 53, tcp, bound=True).go()
        through = []
        with open(device.fd, "rb", buffering=0, closefd=False) as tun, contextlib.suppress(BlockingIOError):
            while data := tun.read(2048):
                packet = (IP if data[0] >> 4 == 4 else IPv6)(data)
                if packet.haslayer(UDP) or packet.haslayer(TCP):
                    through.append((packet.src, packet.dst))
        return through, any(packet.haslayer(UDP) or packet.haslayer(TCP) for packet in wire.took())

    through, leaked = in_new_netns(scene)
    assert through == [({4: "100.64.1.1", 6: "fd74:6f78::1"}[version], str(resolver))] * 2
    assert not leaked


def test_an_exit_is_no_router_of_the_local_network() -> None:
    near = "fd00:1::5"

    def scene() -> str:
        host()
        device = open_tun("toxvpn0", offload=False)
        for line in ("ip link set toxvpn0 up", "ip address add fd74:6f78::1/128 dev toxvpn0 nodad"):
            subprocess.run(line.split(), check=True)
        # as by the default route of the exit, every source has a way back
        subprocess.run(["ip", "route", "add", "fe80::bad", "dev", "toxvpn0"], check=True)
        load(KillSwitch(socket.if_nametoindex("toxvpn0")))
        believed = ICMPv6ND_RA() / ICMPv6NDOptPrefixInfo(prefix=near, prefixlen=128, A=0)
        packet = bytes(IPv6(src="fe80::bad", dst="fd74:6f78::1", hlim=255) / believed)
        os.write(device.fd, bytes(VNET_HEADER_BYTES if device.vnet_hdr else 0) + packet)
        return subprocess.run(
            ["ip", "-6", "route", "get", near], check=True, capture_output=True, text=True
        ).stdout

    assert "dev eth0" in in_new_netns(scene)


def test_neighbours_are_still_found() -> None:
    def scene() -> bool:
        host()
        wire = Wire()
        load(KillSwitch(lan=False))
        subprocess.run(f"ip neighbour del {ROUTER[4]} dev eth0".split(), check=True)
        Sent(OUTSIDE[4], mark=MARK).go()
        return any(packet.haslayer(ARP) for packet in wire.took())

    assert in_new_netns(scene)
