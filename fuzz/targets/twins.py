"""The compiled packet path against its twins in wire/, and testing/splitter.py, which cuts as Linux does.

A path is made once and used for all inputs: what one leaves behind, another may meet.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from toxvpn._native.path.packets import DropReason, FilterRule, Place
from toxvpn.testing import native_units
from toxvpn.testing.memory_path import FRIENDS, OWN, MemoryPath
from toxvpn.testing.memory_tun import (
    GSO_NONE,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CSUM,
    VnetHeader,
)
from toxvpn.testing.rawpacket import ACK, RawPacket
from toxvpn.testing.splitter import TCP, UDP, ones_sum, pseudo_sum, split, transport_of
from toxvpn.wire import policy, routes
from toxvpn.wire.bundle import join
from toxvpn.wire.ip import MAX_MTU, checksum, parse_untrusted, unframe_vpn_untrusted

from ..target import Choices, target

EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
SYN = 0x02


# -- what is well-formed


@cache
def open_path() -> MemoryPath:
    """Friend 3 may send from and to everywhere; super-packets are not made."""
    path = MemoryPath(vnet_hdr=False, udp_offload=False)
    for network in EVERYWHERE:
        path.datapath.allow_source(network, 3)
        path.datapath.allow_destination(network)
    return path


@target
def inbound_frame(data: bytes) -> None:
    """A lossy packet of a friend: the well-formed packets in it come out, and nothing else."""
    path = open_path()
    kept = [packet for packet in unframe_vpn_untrusted(data) if may_pass(packet)]
    before = path.datapath.counters(3).rx_packets
    path.carrier.deliver(3, data)
    path.carrier.flush_inbound()
    written = path.tun.packets()
    assert path.datapath.counters(3).rx_packets - before == len(kept)
    assert len(written) == len(kept)
    for packet, came in zip(written, kept, strict=True):
        assert packet == came or is_syn(came)
    path.carrier.sent.clear()


def may_pass(packet: bytes) -> bool:
    """Whether it is from somebody else, to somebody."""
    header = parse_untrusted(packet)
    assert header is not None
    group = header.destination.is_multicast or str(header.destination) == "255.255.255.255"
    return not group and str(header.source) not in {*OWN, *FRIENDS[4]}


def is_syn(packet: bytes) -> bool:
    header = parse_untrusted(packet)
    assert header is not None
    return header.protocol == TCP and bool(packet[header.transport + 13] & SYN)


# -- packets from choices


FLOWS = [
    RawPacket(FRIENDS[3][index], OWN[index], protocol, (port, 80))
    for index in (0, 1)
    for protocol in (TCP, UDP)
    for port in (5000, 5001)
]
SIZES = (0, 1, 7, 100, 100, 101, 536, 1200)
OPTIONS = (b"", b"\1\1\x08\x0a" + bytes(8), b"\2\4\5\xb4", b"\1" * 40)


def changed(choices: Choices, flow: RawPacket) -> RawPacket:
    """The flow with another header from now on."""
    changes: list[dict[str, Any]] = [
        {"tos": choices.number()},
        {"ttl": choices.number()},
        {"ack": choices.number(4)},
        {"window": choices.number(2)},
        {"flags": ACK | choices.number(2) & 0xFFF},
        {"flags": ACK | 1 << choices.below(12)},
        {"dont_fragment": choices.flag()},
        {"tcp_options": choices.pick(OPTIONS)},
        {"ip_options": b"\1" * 4 * choices.below(11), "extensions": choices.below(5)},
        {"seq": choices.number(4)},
        {"id": choices.number(2)},
    ]
    return replace(flow, **choices.pick(changes))


def packets_of(choices: Choices) -> list[tuple[int, bytes]]:
    """Packets, each with the number of its flow, some of them damaged or in fragments."""
    flows, found = list(FLOWS), list[tuple[int, bytes]]()
    while choices.left and len(found) < 60:
        which = choices.below(len(flows))
        if choices.below(4) == 0:
            flows[which] = changed(choices, flows[which])
        flow = replace(flows[which], payload=choices.take(2).ljust(2, b"\7") * (choices.pick(SIZES) // 2))
        whole = flow.build()
        start, protocol = transport_of(whole)
        match choices.below(12):
            case 0:
                found += [(which, piece) for piece in flow.fragments(64)]
            case 1:
                found.append((which, damaged(choices, whole, start)))
            case 2 if protocol == UDP:
                found.append((which, whole[: start + 6] + b"\0\0" + whole[start + 8 :]))
            case _:
                found.append((which, whole))
        step = 0 if choices.below(16) == 0 else 1
        seq = (flow.seq + len(flow.payload) * step) % 2**32
        flows[which] = replace(flows[which], seq=seq, id=(flow.id + step) % 2**16)
    return found


def damaged(choices: Choices, packet: bytes, start: int) -> bytes:
    """With another bit, which is not one of those that say which flow it is of."""
    places = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11] if packet[0] >> 4 == 4 else [0, 1, 2, 3, 4, 5, 7]
    at = choices.pick([*places, *range(start + 4, len(packet))])
    return packet[:at] + bytes([packet[at] ^ 1 << choices.below(8)]) + packet[at + 1 :]


# -- merging


@cache
def merging_path(*, udp: bool) -> MemoryPath:
    return MemoryPath(udp_offload=udp)


@target
def merged(data: bytes) -> None:
    """What is written stands for the packets that came, each flow's in order; nothing is lost or changed."""
    choices = Choices(data)
    path = merging_path(udp=choices.flag())
    came = [
        (flow, packet)
        for flow, packet in packets_of(choices)
        if parse_untrusted(packet) is not None and is_from_friend(packet) and not is_syn_or_short(packet)
    ]
    dropped = sum(path.datapath.counters(3).drops.values())
    written = path.inbound(*[packet for _, packet in came])
    assert sum(path.datapath.counters(3).drops.values()) == dropped
    parts = [part for vnet, packet in written for part in taken_apart(vnet, packet)]
    flow_of = {without_id(packet): flow for flow, packet in came}
    got = [without_id(part) for part in parts]
    assert Counter(got) == Counter(without_id(packet) for _, packet in came)
    if len(flow_of) < len(came):  # the same packet in two flows, after damage: whose it is cannot be told
        return
    for flow in {flow for flow, _ in came}:
        assert [part for part in got if flow_of[part] == flow] == [
            without_id(packet) for other, packet in came if other == flow
        ]


def is_from_friend(packet: bytes) -> bool:
    """Whether friend 3 may send it, and it is to us; of damaged ones not all are."""
    header = parse_untrusted(packet)
    assert header is not None
    return (str(header.source), str(header.destination)) in zip(FRIENDS[3], OWN, strict=True)


def is_syn_or_short(packet: bytes) -> bool:
    """SYNs get another MSS."""
    header = parse_untrusted(packet)
    assert header is not None
    flags = packet[header.transport + 13 : header.transport + 14]
    return header.protocol == TCP and bool(flags) and bool(flags[0] & SYN)


def taken_apart(vnet: VnetHeader, packet: bytes) -> list[bytes]:
    if vnet.gso_type == GSO_NONE:
        assert vnet == VnetHeader()
        return [packet]
    return split(vnet, packet)


def without_id(packet: bytes) -> bytes:
    """IDs of packets that must not be fragmented mean nothing (RFC 6864): constant ones return counted."""
    good = packet[0] >> 4 == 4 and packet[6] & 0x40 and ones_sum(packet[: (packet[0] & 15) * 4]) == 0xFFFF
    return packet[:4] + b"\0\0" + packet[6:10] + b"\0\0" + packet[12:] if good else packet


# -- cutting


@cache
def cutting_path() -> MemoryPath:
    return MemoryPath()


def offloaded(packet: bytes, segment: int) -> VnetHeader:
    start, protocol = transport_of(packet)
    header = start + ((packet[start + 12] >> 4) * 4 if protocol == TCP else 8)
    kind = GSO_UDP_L4 if protocol == UDP else GSO_TCPV4 if packet[0] >> 4 == 4 else GSO_TCPV6
    return VnetHeader(NEEDS_CSUM, kind, header, segment, start, 16 if protocol == TCP else 6)


@target
def cut(data: bytes) -> None:
    """A super-packet from the kernel leaves as the packets that Linux would have sent, put together again."""
    choices = Choices(data)
    path = cutting_path()
    index = choices.below(2)
    flow = RawPacket(OWN[index], FRIENDS[3][index], choices.pick((TCP, UDP)))
    for _ in range(choices.below(4)):
        flow = changed(choices, flow)
    segment, many = choices.number(2) % 1500 + 1, choices.below(64) + 1
    pattern = choices.take(20) or b"\1"
    room = 65535 - len(flow.build())
    size = min(room, max(1, many * segment - choices.number(2) % segment))
    mtu = 576 + choices.number(2) % (MAX_MTU - 575)
    path.datapath.set_mtu(3, mtu)
    whole = replace(
        flow, flags=flow.flags & ~SYN, payload=(pattern * (size // len(pattern) + 1))[:size]
    ).build()
    vnet = offloaded(whole, segment)
    if size < segment:
        return
    start, _ = transport_of(whole)
    field = start + vnet.csum_offset
    body = whole[:field] + pseudo_sum(whole).to_bytes(2, "big") + whole[field + 2 :]
    sent = [packet for _, packet in path.outbound(body, vnet)]
    path.tun.written()
    largest = max(mtu, 1280) if index else mtu
    if vnet.hdr_len + segment <= largest or (index == 0 and not whole[6] & 0x40):
        assert reassembled(sent) == split(vnet, body)
        assert all(len(packet) <= largest for packet in sent)
    else:
        assert sent == []


def reassembled(packets: list[bytes]) -> list[bytes]:
    """IPv4 fragments, which come one after the other and in order, put together."""
    whole: list[bytes] = []
    held: bytes = b""
    for packet in packets:
        place = int.from_bytes(packet[6:8], "big")
        if packet[0] >> 4 == 6 or not place & 0x3FFF:
            whole.append(packet)
            continue
        header = (packet[0] & 15) * 4
        assert checksum(packet[:header]) == 0
        if not place & 0x1FFF:
            held = packet
        else:
            assert len(held) == (held[0] & 15) * 4 + (place & 0x1FFF) * 8
            held += packet[header:]
        if not place & 0x2000:
            done = bytearray(held)
            done[2:4], done[6:8], done[10:12] = len(done).to_bytes(2, "big"), b"\0\0", b"\0\0"
            done[10:12] = checksum(bytes(done[: (done[0] & 15) * 4])).to_bytes(2, "big")
            whole.append(bytes(done))
    return whole


# -- bundles


@cache
def bundling_path() -> MemoryPath:
    path = MemoryPath()
    path.datapath.set_bundles(3, True)
    return path


@target
def bundled(data: bytes) -> None:
    """Packets that are ready together leave in the bundles that wire/bundle.py makes."""
    choices = Choices(data)
    path = bundling_path()
    mtu = 576 + choices.number(2) % (MAX_MTU - 575)
    path.datapath.set_mtu(3, mtu)
    packets: list[bytes] = []
    while choices.left and len(packets) < 64:
        index = choices.below(2)
        flow = RawPacket(OWN[index], FRIENDS[3][index], choices.pick((TCP, UDP)))
        packets.append(
            replace(flow, payload=bytes([len(packets)]) * (choices.number(2) % (mtu - 100))).build()
        )
    for packet in packets:
        path.tun.inject(packet)
    path.datapath.read_tun()
    bodies = [body[5:] for _, body in path.carrier.sent]
    assert bodies == join(packets, mtu)
    assert [each for _, body in path.carrier.sent for each in unframe_vpn_untrusted(body)] == packets
    path.carrier.sent.clear()


# -- tables


@target
def prefixes(data: bytes) -> None:
    """The compiled table of prefixes does what the pure one does."""
    choices = Choices(data)
    compiled, pure = native_units.PrefixTable(), routes.PrefixTable()
    while choices.left:
        step, scope, value = choices.below(5), choices.below(3), choices.below(4)
        address, network = _place(choices)
        if step == 0:
            assert compiled.remove(network, scope) == pure.remove(network, scope)
        elif step == 1:
            assert compiled.get(network, scope) == pure.get(network, scope)
        elif step == 2:
            assert compiled.lookup(address, scope) == pure.lookup(address, scope)
        else:
            compiled.set(network, value, scope)
            pure.set(network, value, scope)
        assert len(compiled) == len(pure)


def _place(choices: Choices) -> tuple[Any, IPv4Network | IPv6Network]:
    """An address, and a network around it."""
    version = choices.pick((4, 6))
    few = bytes(each & 0x81 for each in choices.take(4)).ljust(4, b"\0")
    address = ip_address(few if version == 4 else few[:2] + bytes(12) + few[2:])
    return address, ip_network((address, choices.below(address.max_prefixlen + 1)), strict=False)


@dataclass
class Filters:
    compiled: native_units.Filter
    pure: policy.Filter

    def set_rules(self, rules: list[FilterRule]) -> None:
        self.compiled.set_rules(rules)
        self.pure.set_rules(rules)


HERE = {ip_address(address) for address in OWN}
BEHIND = (ip_network("10.0.0.0/8"), ip_network("fd00::/16"), *EVERYWHERE)


@target
def filters(data: bytes) -> None:
    """The compiled filter lets through what the pure one does, whatever the packets, rules and times."""
    choices = Choices(data)
    both = Filters(native_units.Filter(HERE), policy.Filter(HERE))
    both.set_rules(_rules(choices))
    now, last = 1, b""
    while choices.left:
        match choices.below(8):
            case 0:
                now += choices.number(2) * (1 + 99 * choices.below(2))
            case 1:
                both.set_rules(_rules(choices))
            case 2:
                packet = _error_about(choices, last)
                assert both.compiled.inbound(packet, now) == both.pure.inbound(packet, now), packet.hex()
            case 3:
                packet = _framed(choices, choices.chunk(100))
                if parse_untrusted(packet) is not None:
                    assert both.compiled.inbound(packet, now) == both.pure.inbound(packet, now), packet.hex()
            case 4 | 5:
                last = _packet(choices, outbound=True)
                both.compiled.outbound(last, now)
                both.pure.outbound(last, now)
            case _:
                packet = _packet(choices, outbound=False)
                assert both.compiled.inbound(packet, now) == both.pure.inbound(packet, now), packet.hex()


def _rules(choices: Choices) -> list[FilterRule]:
    return [
        FilterRule(
            choices.pick((Place.HERE, Place.ANYWHERE, *BEHIND)),
            choices.pick((None, 1, TCP, UDP, 47)),
            *choices.pick(((0, 65535), (80, 80), (0, 100), (5000, 6000))),
        )
        for _ in range(choices.below(4))
    ]


def _packet(choices: Choices, *, outbound: bool) -> bytes:
    """Of a few flows: TCP, UDP, an echo, something else."""
    index = choices.below(2)
    ends = OWN[index], FRIENDS[3][index]
    source, destination = ends if outbound else ends[::-1]
    ports = choices.pick(((80, 5000), (5000, 80), (53, 53)))
    payload = choices.take(choices.below(16))
    flow = RawPacket(source, destination, choices.pick((TCP, TCP, UDP)), ports, payload)
    packet = bytearray(replace(flow, flags=choices.number() & 0x3F, extensions=choices.below(3)).build())
    start, _ = transport_of(packet)
    if choices.below(3) == 0:
        kind = choices.pick((8, 0, 3, 128, 129, 1, 5))
        packet[start : start + 2] = bytes([kind, 0])
        packet = _as(packet, choices.pick((1, 58, 47, 0)))
    if index == 0 and choices.below(6) == 0:
        packet[6:8] = choices.pick((b"\x20\x00", b"\x00\x02", b"\x20\x04", b"\x40\x00"))
    return bytes(packet) if parse_untrusted(bytes(packet)) else flow.build()


def _as(packet: bytearray, protocol: int) -> bytearray:
    packet[9 if packet[0] >> 4 == 4 else 6] = protocol
    return packet


def _framed(choices: Choices, body: bytes) -> bytes:
    """The body behind an IP header that says how long it is."""
    if choices.flag():
        head = bytearray(20)
        head[0], head[9] = 0x45, choices.number()
        head[2:4] = (20 + len(body)).to_bytes(2, "big")
        head[12:20] = ip_address(FRIENDS[3][0]).packed + ip_address(OWN[0]).packed
        return bytes(head) + body
    head = bytearray(40)
    head[0], head[6] = 0x60, choices.number()
    head[4:6] = len(body).to_bytes(2, "big")
    head[8:40] = ip_address(FRIENDS[3][1]).packed + ip_address(OWN[1]).packed
    return bytes(head) + body


def _error_about(choices: Choices, quoted: bytes) -> bytes:
    """An ICMP error that quotes the packet, or the beginning of it."""
    kind = choices.pick((3, 11, 12, 5, 1, 2, 4))
    body = bytes([kind, 0, 0, 0, 0, 0, 0, 0]) + quoted[: choices.number()]
    packet = bytearray(_framed(choices, body))
    return bytes(_as(packet, 1 if packet[0] >> 4 == 4 else 58))


@target
def checksums(data: bytes) -> None:
    """The compiled sum is the pure one, also while it copies, at every alignment."""
    choices = Choices(data)
    skip = choices.below(33)
    body = choices.rest()[skip:]
    if not body:
        return
    expected = ones_sum(body)
    found = int.from_bytes(native_units.checksum(memoryview(data)[1 + skip :]).to_bytes(2, "little"), "big")
    assert found % 0xFFFF == expected % 0xFFFF
    out = bytearray(len(body))
    copied = native_units.copy_checksum(memoryview(out), body)
    assert int.from_bytes(copied.to_bytes(2, "little"), "big") == found
    assert out == body


# -- anything at all

GROUPS = [ip_address(address) for address in ("224.0.0.251", "ff02::fb", "255.255.255.255")]
FRAMES = (b"\xc8\0\0\x08\0", b"\xc8\0\0\x86\xdd")


@cache
def any_path(which: int) -> MemoryPath:
    path = MemoryPath(vnet_hdr=which != 0, udp_offload=which != 1, carrier_port=33445 if which == 2 else 0)
    path.datapath.set_bundles(3, which != 1)
    path.datapath.set_groups(
        [ip_address("224.0.0.251"), ip_address("ff02::fb"), ip_address("255.255.255.255")]
    )
    return path


@target
def any_order(data: bytes) -> None:
    """Anything from the kernel and from a friend, in any order: what leaves is well-formed."""
    choices = Choices(data)
    path = any_path(choices.below(3))
    datapath, carrier = path.datapath, path.carrier
    clock = 10**9
    while choices.left:
        match choices.below(14):
            case 0 | 1 | 2:
                vnet = VnetHeader(*choices.take(2).ljust(2, b"\0"), *(choices.number(2) for _ in range(4)))
                path.tun.inject(choices.chunk(3000) or b"\0", vnet)
                datapath.read_tun()
            case 3:
                super_packet = _packet(choices, outbound=True) + bytes(choices.number(2) % 4000)
                path.tun.inject(super_packet, offloaded(super_packet, choices.number(2)))
                datapath.read_tun()
            case 4:
                path.tun.inject(_packet(choices, outbound=True))
                datapath.read_tun()
            case 5 | 6:
                carrier.deliver(choices.pick((3, 3, 4, 9)), choices.pick(FRAMES) + choices.chunk(1400))
            case 7:
                carrier.deliver(3, b"\xc8\0\0\x08\0" + _packet(choices, outbound=False))
            case 8:
                datapath.set_online(3, choices.flag())
            case 9:
                datapath.set_mtu(3, choices.number(2))
            case 10:
                datapath.set_policy(3, _rules(choices) if choices.flag() else None)
            case 11:
                carrier.room = choices.below(20) - 1
            case 12:
                clock += choices.number(2) * 1_000_000
                carrier.stop_clock(clock)
            case 13:
                datapath.join_groups(choices.pick((3, 4)), choices.pick(([], GROUPS[:1], GROUPS)))
        if choices.below(4) == 0:
            carrier.flush_inbound()
        for _, sent in carrier.sent:
            assert len(sent) <= 1373
            assert unframe_vpn_untrusted(sent), sent.hex()
        if choices.flag():
            carrier.sent.clear()
        path.tun.written()
    carrier.room = -1
    carrier.sent.clear()
    carrier.flush_inbound()
    carrier.sent.clear()
    datapath.set_online(3, True)
    path.tun.written()
    assert datapath.drops[DropReason.DEVICE] == 0
