"""Multicast and broadcast on a real kernel: what programs send reaches the device, and the LAN as before."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Any, cast

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from toxvpn._native.path.datapath import Datapath
from toxvpn.testing.fake_tables import FakeTables
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tox.peer import Peer
from toxvpn.tun.host.device import TunDevice, open_tun
from toxvpn.tun.host.netconf import NetworkChanges
from toxvpn.tun.host.nftables import tables
from toxvpn.tun.multicast import Multicast, copied, copies
from toxvpn.tun.router import NetworkPeer
from toxvpn.wire.ip import checksum
from toxvpn.wire.multicast import parse_groups

NAME, OWN, OWN6, LAN, PEER = "tox0", "100.64.7.1", "fd74:6f78::1", "192.168.1.5", "100.64.7.2"
ALL = parse_groups(["mdns", "ssdp", "broadcast", "239.1.2.3", "ff05::1:3"])
CARRIER_PORT = 40000
TIMEOUT_S = 5.0

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun"),
]


def test_only_broadcast_and_groups_without_a_name_are_copied() -> None:
    assert copied(ALL) == ["239.1.2.3", "255.255.255.255"]
    assert copies(parse_groups(["mdns", "ssdp", "ff05::1:3"]), IPv4Address(OWN), NAME, 1) == ""
    assert f'oifname "{NAME}" ip daddr {{ 239.1.2.3, 255.255.255.255 }} ip saddr != {OWN}' in copies(
        ALL, IPv4Address(OWN), NAME, 1
    )


# -- on a kernel


@dataclass
class Scene:
    """A machine on a LAN (`e0`) and on the VPN; `lan` sees what the LAN gets, `tun` what peers would."""

    tun: TunDevice
    lan: socket.socket
    network: NetworkChanges
    tables: FakeTables
    multicast: Multicast

    def sent(self, send: Callable[[], object]) -> tuple[list[Any], list[Any]]:
        """UDP packets to port 5000 that the VPN and the LAN get, within the time that a marker takes."""
        send()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as marker:
            marker.sendto(b"marker", (PEER, 5000))
            marker.sendto(b"marker", ("192.168.1.9", 5000))
        return self._until_marker(self._from_tun), self._until_marker(self._from_lan)

    def _until_marker(self, read: Callable[[], bytes]) -> list[Any]:
        found: list[Any] = []
        until_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until_s:
            try:
                data = read()
            except BlockingIOError:
                time.sleep(0.005)
                continue
            packet = IP(data) if data[0] >> 4 == 4 else IPv6(data)
            if UDP not in packet or packet[UDP].dport != 5000:
                continue
            if bytes(packet[UDP].payload) == b"marker":
                return found
            found.append(packet)
        raise AssertionError("no marker came")

    def _from_tun(self) -> bytes:
        return os.read(self.tun.fd, 70000)

    def _from_lan(self) -> bytes:
        return self.lan.recv(70000)


def ip(words: str) -> str:
    return subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def scene(groups: tuple[str, ...] = ALL) -> Iterator[Scene]:
    for words in ("link set lo up", "link add e0 type veth peer name e1", "link set e0 up", "link set e1 up",
                  f"addr add {LAN}/24 dev e0", "route add default via 192.168.1.1",
                  "neigh add 192.168.1.9 lladdr 02:00:00:00:00:09 dev e0"):  # fmt: skip
        ip(words)
    with contextlib.ExitStack() as undo:
        network = undo.enter_context(NetworkChanges())
        tun = open_tun(NAME, offload=False)
        undo.callback(tun.close)
        lan = undo.enter_context(
            socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(3))
        )
        lan.bind(("e1", 3))
        fake = FakeTables()
        multicast = Multicast(cast(Datapath, fake), network, NAME, lambda groups: None, CARRIER_PORT)
        undo.callback(multicast.close)
        for own in (OWN, OWN6):
            network.add_address(NAME, ip_interface(own))
        network.link_up(NAME)
        network.add_route(NAME, ip_network(PEER), source=IPv4Address(OWN))
        multicast.set_own([IPv4Address(OWN)])
        multicast.choose(groups, [])
        yield Scene(tun, lan, network, fake, multicast)


def broadcaster(bind: str = "", port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.bind((bind, port))
    return made


def on_a_machine(play: Callable[[Scene], None], groups: tuple[str, ...] = ALL) -> None:
    def run() -> None:
        with scene(groups) as made:
            play(made)

    in_new_netns(run)


@pytest.mark.parametrize("group", ["255.255.255.255", "239.1.2.3"])
def test_what_a_program_sends_without_choosing_goes_to_both(group: str) -> None:
    def play(scene: Scene) -> None:
        with broadcaster() as program:
            vpn, lan = scene.sent(lambda: program.sendto(b"who plays?", (group, 5000)))
        assert [packet.src for packet in vpn] == [OWN] and [packet.src for packet in lan] == [LAN]
        [copy] = vpn
        assert (copy.dst, bytes(copy[UDP].payload)) == (group, b"who plays?")
        raw = bytes(copy)
        assert checksum(raw[:20]) == 0
        pseudo = raw[12:20] + bytes([0, 17]) + (len(raw) - 20).to_bytes(2, "big")
        partial = checksum(pseudo) ^ 0xFFFF
        assert checksum(pseudo + raw[20:]) == 0 or copy[UDP].chksum == partial, "whole, or left to the device"

    on_a_machine(play)


def test_what_is_of_one_network_is_not_copied() -> None:
    def play(scene: Scene) -> None:
        for port, to in ((68, 5000), (CARRIER_PORT, 5000)):
            with broadcaster(port=port) as program:
                vpn, lan = scene.sent(lambda to=to: program.sendto(b"x", ("255.255.255.255", to)))  # type: ignore[misc]
            assert (len(vpn), len(lan)) == (0, 1), port
        with broadcaster() as program:
            vpn, lan = scene.sent(lambda: program.sendto(b"x", ("239.255.255.250", 5000)))
            assert (len(vpn), len(lan)) == (0, 1), "SSDP names addresses of the interface"

    on_a_machine(play)


def test_a_program_that_chooses_the_device_has_our_address() -> None:
    def play(scene: Scene) -> None:
        with broadcaster(OWN) as program:
            vpn, lan = scene.sent(lambda: program.sendto(b"x", ("255.255.255.255", 5000)))
            assert ([packet.src for packet in vpn], lan) == ([OWN], [])
            choice = socket.inet_aton(OWN)
            program.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)
            vpn, lan = scene.sent(lambda: program.sendto(b"x", ("224.0.0.251", 5000)))
            assert ([(packet.src, packet.ttl) for packet in vpn], lan) == ([(OWN, 1)], [])
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as program:
            index = socket.if_nametoindex(NAME)
            vpn, _ = scene.sent(lambda: program.sendto(b"x", ("ff02::fb", 5000, 0, index)))
            assert [packet.src for packet in vpn] == [OWN6], "the device has no link-local address"

    on_a_machine(play)


def test_what_arrives_reaches_programs_that_joined_elsewhere() -> None:
    """A game joins its group where the default route leads, and listens on every address."""

    def play(scene: Scene) -> None:
        with broadcaster(port=5000) as program:
            program.settimeout(TIMEOUT_S)
            member = socket.inet_aton("239.1.2.3") + socket.inet_aton(LAN)
            program.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            for group in ("239.1.2.3", "255.255.255.255"):
                packet = bytes(IP(src=PEER, dst=group, ttl=1) / UDP(sport=9, dport=5000) / group.encode())
                os.write(scene.tun.fd, packet)
                assert program.recvfrom(100) == (group.encode(), (PEER, 9))
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as program:
            program.settimeout(TIMEOUT_S)
            program.bind(("::", 5353))
            source = "fd74:6f78::2"
            os.write(
                scene.tun.fd,
                bytes(IPv6(src=source, dst="ff02::fb", hlim=1) / UDP(sport=9, dport=5353) / b"6"),
            )
            assert program.recvfrom(100)[:1] == (b"6",)

    on_a_machine(play)


def test_the_groups_can_be_changed_and_leave_no_trace() -> None:
    def play(scene: Scene) -> None:
        assert tables() == {("ip", "toxvpn_multicast_tox0")}
        assert "239.1.2.3" in ip(f"maddr show dev {NAME}") and "ff02::fb" in ip(f"maddr show dev {NAME}")
        peer = NetworkPeer(Peer(4, bytes(32)), IPv6Address(OWN6), multicast=("mdns", "ssdp"))
        scene.multicast.choose(("mdns",), [peer])
        assert tables() == set()
        assert "239.1.2.3" not in ip(f"maddr show dev {NAME}")
        assert scene.tables.groups == [ip_address("224.0.0.251"), ip_address("ff02::fb")]
        assert scene.tables.joined == {4: scene.tables.groups}
        assert scene.multicast.shared(peer) == ("mdns",)
        scene.multicast.choose(("broadcast",), [peer])
        assert scene.tables.joined == {4: []}
        scene.multicast.set_own([IPv4Address("10.64.7.1")])
        with broadcaster() as program:
            vpn, _ = scene.sent(lambda: program.sendto(b"x", ("255.255.255.255", 5000)))
        assert [packet.src for packet in vpn] == ["10.64.7.1"]
        scene.multicast.set_own([])
        assert tables() == set()
        scene.multicast.choose((), [peer])
        scene.multicast.close()
        for group in ("224.0.0.251", "ff02::fb"):
            assert group not in ip(f"maddr show dev {NAME}")

    on_a_machine(play)
