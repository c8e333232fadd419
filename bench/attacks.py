"""What a hostile peer sends, by name: packets for hostile.py to repeat as fast as they go.

Each attack is made for one victim, whose Tox public key is known, as it is to all its peers.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from toxvpn.tcpforward.fast.stack import FORWARD_PORT
from toxvpn.wire import pathmtu, statusmessage
from toxvpn.wire.addressing import ipv4_candidates, overlay_ipv6
from toxvpn.wire.pathmtu import Probe, ProbeKind
from toxvpn.wire.reach import knock, mapped, punch, relaylist, relayoffer, whereabouts
from toxvpn.wire.reach.introduction import NodeAt
from toxvpn.wire.reach.knock import Knock, KnockKind
from toxvpn.wire.reach.punch import OpenPorts
from toxvpn.wire.reach.whereabouts import Whereabouts
from toxvpn.wire.statusmessage import Status, ToxvpnStatus
from toxvpn.wire.tuntox import frames
from toxvpn.wire.tuntox.frames import Version

VPN_IPV4, VPN_IPV6 = b"\xc8\0\0\x08\0", b"\xc8\0\0\x86\xdd"
FAST = b"\xc9"
MANY = 1000
LARGEST = 1373


@dataclass(frozen=True, slots=True)
class Parties:
    """The public keys of the attacker and the victim, and the victim's address on the VPN."""

    attacker: bytes
    victim: bytes
    victim_ipv4: str

    @property
    def source(self) -> str:
        """The address that the attacker may send from."""
        return str(next(ipv4_candidates(self.attacker)))


Packets = Callable[[Parties], list[bytes]]


def garbage(_: Parties) -> list[bytes]:
    return [bytes([200 + number % 2]) + os.urandom(LARGEST - 1) for number in range(MANY)]


def small_garbage(_: Parties) -> list[bytes]:
    return [bytes([200 + number % 2]) + os.urandom(30) for number in range(MANY)]


def other_ids(_: Parties) -> list[bytes]:
    return [bytes([206 + number % 49]) + os.urandom(60) for number in range(MANY)]


def spoofed(parties: Parties) -> list[bytes]:
    """VPN packets from others' addresses."""
    packet = bytes(IP(dst=parties.victim_ipv4) / UDP(dport=9) / os.urandom(100))
    return [VPN_IPV4 + packet[:12] + os.urandom(4) + packet[16:] for _ in range(MANY)]


def small_packets(parties: Parties) -> list[bytes]:
    """What it may send: UDP to a port where nobody is."""
    return [
        VPN_IPV4 + bytes(IP(src=parties.source, dst=parties.victim_ipv4) / UDP(sport=1024 + number, dport=9))
        for number in range(MANY)
    ]


def pings(parties: Parties) -> list[bytes]:
    return [
        VPN_IPV4 + bytes(IP(src=parties.source, dst=parties.victim_ipv4) / ICMP(id=7, seq=number) / bytes(32))
        for number in range(MANY)
    ]


def new_flows(parties: Parties) -> list[bytes]:
    """Each packet begins a TCP connection to the VPN address."""
    packet = IP(src=parties.source, dst=parties.victim_ipv4)
    return syns(VPN_IPV4, 20, bytes(packet / TCP(sport=0, dport=5201, flags="S")))


def forward_flood(parties: Parties) -> list[bytes]:
    """Each packet begins a connection to the port of forwards on the private stack."""
    packet = IPv6(src=str(overlay_ipv6(parties.attacker)), dst=str(overlay_ipv6(parties.victim)))
    return syns(FAST, 40, bytes(packet / TCP(sport=0, dport=FORWARD_PORT, flags="S")))


def syns(frame: bytes, at: int, syn: bytes) -> list[bytes]:
    """The SYN from every port, its TCP header at that offset: port and sequence number have the same sum."""
    before, between, after = frame + syn[:at], syn[at + 2 : at + 6], syn[at + 8 :]
    return [
        before + port.to_bytes(2) + between + (0xFFFF - port).to_bytes(2) + after
        for port in range(1, 0x10000)
    ]


def probes(_: Parties) -> list[bytes]:
    """All wanting an answer."""
    return [pathmtu.encode(Probe(ProbeKind.PROBE, number, 500)) for number in range(MANY)]


def acknowledgements(_: Parties) -> list[bytes]:
    """Of probes that nobody has sent."""
    return [pathmtu.encode(Probe(ProbeKind.ACKNOWLEDGEMENT, number, 1373)) for number in range(MANY)]


def moves(_: Parties) -> list[bytes]:
    """It says that it has moved, each time with another DHT key, and wants an answer."""
    return [whereabouts.encode(Whereabouts(os.urandom(32), asks=True, moved=True)) for _ in range(MANY)]


def relay_lists(_: Parties) -> list[bytes]:
    return [
        relaylist.encode([NodeAt(f"203.0.113.{number % 250 + 1}", 443, os.urandom(32), relay=True)] * 4)
        for number in range(MANY)
    ]


def endpoints(_: Parties) -> list[bytes]:
    """Its router has mapped another endpoint each time."""
    return [mapped.encode((f"203.0.113.{number % 250 + 1}", 1024 + number)) for number in range(MANY)]


def open_ports(_: Parties) -> list[bytes]:
    """It wants ports opened, and has opened some, by turns."""
    return [punch.encode(OpenPorts(os.urandom(16) if number % 2 else None)) for number in range(MANY)]


def way_of_a_friend(_: Parties) -> list[bytes]:
    """Datagrams by way of it, from peers that it does not have and for those that nobody has."""
    return [
        bytes([210, number % 256, number % 16]) + b"\x1b" + os.urandom(LARGEST - 4) for number in range(MANY)
    ]


def relay_offers(parties: Parties) -> list[bytes]:
    """It reaches 64 others each time."""
    return [
        relayoffer.encode(
            parties.attacker, parties.victim, {index: os.urandom(32) for index in range(relayoffer.MOST)}
        )
        for _ in range(MANY)
    ]


def knocks(_: Parties) -> list[bytes]:
    return [knock.encode(Knock(KnockKind(number % 3), number)) for number in range(MANY)]


LOSSY: dict[str, Packets] = {
    "large garbage": garbage,
    "small garbage": small_garbage,
    "unknown packet IDs": other_ids,
    "others' addresses": spoofed,
    "small UDP packets": small_packets,
    "pings": pings,
    "TCP SYNs over the VPN": new_flows,
    "TCP SYNs to the forwards": forward_flood,
    "probes of the path": probes,
    "answers to no probe": acknowledgements,
    "moves": moves,
    "relay lists": relay_lists,
    "mapped endpoints": endpoints,
    "open ports": open_ports,
    "by way of a friend": way_of_a_friend,
    "relay offers": relay_offers,
    "knocks": knocks,
}


def lossless_garbage(_: Parties) -> list[bytes]:
    return [b"\xa2" + os.urandom(40) for _ in range(MANY)]


def tuntox_pings(_: Parties) -> list[bytes]:
    return [frames.ping(Version.V2, number.to_bytes(8)) for number in range(MANY)]


def tunnel_requests(_: Parties) -> list[bytes]:
    """More than are allowed at once; those that are granted are never used."""
    return [frames.request(Version.V2, number, b"127.0.0.1", 9000) for number in range(MANY)]


def refused_requests(_: Parties) -> list[bytes]:
    """To names that do not exist."""
    return [frames.request(Version.V2, number, f"n{number}.invalid".encode(), 80) for number in range(MANY)]


def unknown_tunnels(_: Parties) -> list[bytes]:
    return [b"\xa2\x6b\x06\x00" + number.to_bytes(2) + b"\0\1x" for number in range(MANY)]


LOSSLESS: dict[str, Packets] = {
    "lossless garbage": lossless_garbage,
    "tuntox pings": tuntox_pings,
    "requests for tunnels": tunnel_requests,
    "requests to unknown names": refused_requests,
    "data of no tunnel": unknown_tunnels,
}


def status_messages(parties: Parties) -> list[bytes]:
    """Another address, name, network and exit each time."""
    candidates = list(ipv4_candidates(parties.attacker))
    return [
        statusmessage.encode(
            Status(
                IPv4Address(candidates[number % len(candidates)]),
                ToxvpnStatus(
                    mtu=1280 + number % 90,
                    name=f"name{number}",
                    routes=(ip_network(f"10.66.{number % 250}.0/24"),),
                    probes=number % 2 == 0,
                    fast=number % 3 == 0,
                    multicast=("mdns",) if number % 2 else ("ssdp", "broadcast"),
                ),
            )
        )
        for number in range(MANY)
    ]
