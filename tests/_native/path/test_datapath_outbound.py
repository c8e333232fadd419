"""TUN -> Tox: where packets go, how super-packets are cut, and which packets are dropped and answered."""

import os
import select
from ipaddress import ip_network

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Raw

from toxvpn._native.path.datapath import Datapath
from toxvpn._native.path.packets import DropReason, PacketFormat
from toxvpn._native.results import SendResult
from toxvpn.errors import ClosedError
from toxvpn.testing.craft import TIMESTAMP, dissect, ip_header, offloaded, tcp_packet, udp_packet, unfinished
from toxvpn.testing.memory_carrier import MemoryCarrier
from toxvpn.testing.memory_path import MemoryPath, address_pair
from toxvpn.testing.memory_tun import MemoryTun, VnetHeader
from toxvpn.wire.ip import checksum, frame_vpn

versions = pytest.mark.parametrize("version", [4, 6])
PAYLOAD = bytes(range(256)) * 20  # 5120 bytes


def header(version: int, friend_number: int = 3, **fields: object) -> object:
    return ip_header(version, *address_pair(version, friend_number), **fields)


@versions
def test_a_packet_goes_to_the_friend_of_its_destination(version: int) -> None:
    packet = udp_packet(header(version, 4), b"hello")
    with MemoryPath() as path:
        path.tun.inject(packet)
        assert path.datapath.read_tun() == 1
        assert path.carrier.sent == [(4, frame_vpn(packet))]
        assert path.carrier.flushes == 1
        counters = path.datapath.counters(4)
        assert (counters.tx_packets, counters.tx_bytes) == (1, len(packet))


def test_the_stack_format_is_the_bare_packet_and_ipv6_only() -> None:
    with MemoryTun() as tun:
        carrier = MemoryCarrier()
        datapath = Datapath(carrier, tun.fd, PacketFormat.STACK, mtu=1372, vnet_hdr=True)
        for network in ("fd74:6f78::2/128", "100.64.0.2/32"):
            datapath.set_route(ip_network(network), 3)
        datapath.set_online(3, True)
        packet = udp_packet(header(6), bytes(1372 - 48))
        tun.inject(packet)
        tun.inject(udp_packet(header(4), b"x"))
        assert datapath.read_tun() == 2
        assert carrier.sent == [(3, b"\xc9" + packet)]
        assert len(carrier.sent[0][1]) == 1373
        assert datapath.drops[DropReason.MALFORMED] == 1
        datapath.close()


@versions
@pytest.mark.parametrize("flags", ["A", "PA", "FPA", "CEA"])
@pytest.mark.parametrize("options", [[], TIMESTAMP])
def test_a_tcp_super_packet_is_cut_into_whole_packets(
    version: int, flags: str, options: list[tuple[str, object]]
) -> None:
    whole = tcp_packet(
        header(version, id=65534, tos=2), PAYLOAD, flags=flags, seq=0xFFFFFF00, ack=77, options=options
    )
    with MemoryPath() as path:
        sent = path.outbound(*offloaded(whole, 1000))
    parts = [dissect(packet) for friend_number, packet in sent if friend_number == 3]
    assert [len(part.payload) for part in parts] == [1000] * 5 + [120]
    assert b"".join(part.payload for part in parts) == PAYLOAD
    assert all(part.valid for part in parts)
    assert [part.transport.seq for part in parts] == [(0xFFFFFF00 + 1000 * n) % 2**32 for n in range(6)]
    first, *middle, last = (set(part.flags) for part in parts)
    assert first == set(flags) - {"P", "F"}
    assert all(each == set(flags) - {"P", "F", "C"} for each in middle)
    assert last == set(flags) - {"C"}
    assert all(part.transport.options == parts[0].transport.options for part in parts)
    if version == 4:
        assert [part.ip.id for part in parts] == [65534, 65535, 0, 1, 2, 3]
        assert all(part.ip.tos == 2 and part.ip.flags == "DF" for part in parts)
    else:
        assert all(part.ip.tc == 2 for part in parts)


@versions
def test_a_udp_super_packet_is_cut_into_datagrams(version: int) -> None:
    whole = udp_packet(header(version, id=7), PAYLOAD)
    with MemoryPath() as path:
        parts = [dissect(packet) for _, packet in path.outbound(*offloaded(whole, 1200))]
    assert [len(part.payload) for part in parts] == [1200] * 4 + [320]
    assert b"".join(part.payload for part in parts) == PAYLOAD
    assert all(part.valid and part.transport.len == 8 + len(part.payload) for part in parts)


@versions
@pytest.mark.parametrize("make", [tcp_packet, udp_packet])
def test_a_checksum_left_to_us_is_completed(version: int, make: type) -> None:
    whole = make(header(version), b"odd length.")
    body, vnet = unfinished(whole)
    assert body != whole
    with MemoryPath() as path:
        assert path.outbound(body, vnet) == [(3, whole)]


def test_a_udp_checksum_of_zero_is_sent_as_ffff() -> None:
    """0 would mean that there is none, which IPv6 does not even allow (RFC 8200 §8.1)."""
    for filler in range(65536):
        packet = udp_packet(header(6), filler.to_bytes(2, "big"))
        if packet[46:48] == b"\xff\xff":
            break
    with MemoryPath() as path:
        assert path.outbound(*unfinished(packet)) == [(3, packet)]
        assert path.outbound(*offloaded(packet, 2)) == [(3, packet)]


@pytest.mark.parametrize(
    "vnet",
    [
        VnetHeader(1, 1, 40, 0, 20, 16),  # no segment size
        VnetHeader(1, 4, 40, 100, 20, 16),  # IPv6 segmentation of an IPv4 packet
        VnetHeader(1, 5, 40, 100, 20, 6),  # UDP segmentation of a TCP packet
        VnetHeader(1, 3, 40, 100, 20, 6),  # a kind that we never asked for
        VnetHeader(1, 0, 0, 0, 5000, 16),  # a checksum outside of the packet
    ],
)
def test_super_packets_that_do_not_add_up_are_malformed(vnet: VnetHeader) -> None:
    with MemoryPath() as path:
        assert path.outbound(tcp_packet(header(4), b"x" * 300), vnet) == []
        total = {**path.drops(), **path.drops(3)}
        assert total == {DropReason.MALFORMED: 1}


@versions
@pytest.mark.parametrize("words", range(5))
def test_a_tcp_header_shorter_than_the_least_is_malformed(version: int, words: int) -> None:
    body, vnet = offloaded(tcp_packet(header(version), b"x" * 300, dataofs=words), 100)
    with MemoryPath() as path:
        assert path.outbound(body, vnet) == []
        assert path.drops() == {DropReason.MALFORMED: 1}


def test_without_offload_packets_go_as_they_are() -> None:
    packet = tcp_packet(header(4), b"hello")
    with MemoryPath(vnet_hdr=False) as path:
        assert path.outbound(packet) == [(3, packet)]


# -- packets that cannot go ------------------------------------------------------------------------


@versions
def test_no_route_is_counted_and_answered(version: int) -> None:
    own, _ = address_pair(version)
    nobody = "100.64.9.9" if version == 4 else "fd74:6f78::9"
    packet = udp_packet(ip_header(version, own, nobody), b"hello")
    with MemoryPath() as path:
        assert path.outbound(packet) == []
        assert path.drops() == {DropReason.NO_ROUTE: 1}
        (answer,) = path.tun.packets()
    if version == 4:
        assert (IP(answer)[ICMP].type, IP(answer)[ICMP].code) == (3, 0)
    else:
        assert IPv6(answer)[ICMPv6DestUnreach].code == 0
    check_error(answer, packet, str(own), nobody)


@versions
@pytest.mark.parametrize("many", [1, 20])
def test_what_the_carrier_sends_never_travels_in_itself(version: int, many: int) -> None:
    """Only the kernel's own packets count; another host behind us that uses the port is not the carrier."""
    own, friend = address_pair(version)
    other = address_pair(version, 4)[1]
    with MemoryPath(carrier_port=33445) as path:
        looping = udp_packet(ip_header(version, own, friend), bytes(500 * many), sport=33445)
        assert path.outbound(*(offloaded(looping, 500) if many > 1 else (looping, None))) == []
        assert path.drops() == {DropReason.LOOP: 1}
        assert path.tun.written() == []
        for packet in (
            udp_packet(ip_header(version, own, friend), b"x", sport=33446),
            udp_packet(ip_header(version, other, friend), b"x", sport=33445),
            tcp_packet(ip_header(version, own, friend), b"x", sport=33445),
        ):
            assert len(path.outbound(packet)) == 1


@versions
def test_an_offline_friend_is_counted_and_answered(version: int) -> None:
    packet = udp_packet(header(version), b"hello")
    with MemoryPath() as path:
        path.datapath.set_online(3, False)
        assert path.outbound(packet) == []
        assert path.drops(3) == {DropReason.OFFLINE: 1}
        (answer,) = path.tun.packets()
        path.datapath.set_online(3, True)
        assert path.outbound(packet) == [(3, packet)]
    code = IP(answer)[ICMP].code if version == 4 else IPv6(answer)[ICMPv6DestUnreach].code
    assert code == (1 if version == 4 else 3)


@versions
def test_too_big_says_how_big_it_may_be(version: int) -> None:
    packet = udp_packet(header(version), bytes(1290))  # with DF
    own, friend = (str(address) for address in address_pair(version))
    with MemoryPath() as path:
        path.datapath.set_mtu(3, 1300)
        assert path.outbound(packet) == []
        assert path.drops(3) == {DropReason.TOO_BIG: 1}
        (answer,) = path.tun.packets()
    if version == 4:
        icmp = IP(answer)[ICMP]
        assert (icmp.type, icmp.code, icmp.nexthopmtu) == (3, 4, 1300)
    else:
        assert IPv6(answer)[ICMPv6PacketTooBig].mtu == 1300
    check_error(answer, packet, own, friend)


def test_ipv6_is_carried_up_to_1280_bytes_whatever_the_friend_takes() -> None:
    """RFC 8200 §5; senders ignore a "too big" with a smaller MTU (RFC 8201 §4)."""
    with MemoryPath() as path:
        path.datapath.set_mtu(3, 1000)
        packet = udp_packet(header(6), bytes(1280 - 48))
        assert path.outbound(packet) == [(3, packet)]
        assert path.outbound(udp_packet(header(6), bytes(1281 - 48))) == []
        assert path.drops(3) == {DropReason.TOO_BIG: 1}
        (answer,) = path.tun.packets()
        assert IPv6(answer)[ICMPv6PacketTooBig].mtu == 1280
        assert path.outbound(udp_packet(header(4), bytes(1001 - 28))) == []
        (answer,) = path.tun.packets()
        assert IP(answer)[ICMP].nexthopmtu == 1000


@versions
def test_segments_that_are_too_big_are_answered_once(version: int) -> None:
    body, vnet = offloaded(tcp_packet(header(version), PAYLOAD), 1300)
    with MemoryPath() as path:
        path.datapath.set_mtu(3, 1300)
        assert path.outbound(body, vnet) == []
        assert path.drops(3) == {DropReason.TOO_BIG: 1}
        assert len(path.tun.packets()) == 1
        path.datapath.set_mtu(3, 1340 if version == 4 else 1360)
        assert len(path.outbound(body, vnet)) == 4


def check_error(answer: bytes, about: bytes, to: str, sender: str) -> None:
    """Assert a well-formed ICMP error from the unreachable host that quotes the packet."""
    parsed = IP(answer) if answer[0] >> 4 == 4 else IPv6(answer)
    assert (parsed.dst, parsed.src) == (to, sender)
    if parsed.version == 4:
        assert parsed.len == len(answer) <= 576
        assert checksum(answer[:20]) == checksum(answer[20:]) == 0
        assert about.startswith(answer[28:]) and len(answer) >= min(576, 28 + len(about))
    else:
        assert parsed.plen + 40 == len(answer) <= 1280
        pseudo = answer[8:40] + (len(answer) - 40).to_bytes(4, "big") + b"\0\0\0\x3a"
        assert checksum(pseudo + answer[40:]) == 0
        assert about.startswith(answer[48:]) and len(answer) >= min(1280, 48 + len(about))


def test_errors_are_limited_in_number() -> None:
    packet = udp_packet(ip_header(4, "100.64.0.1", "100.64.9.9"), b"")
    answers = 0
    with MemoryPath() as path:
        for _ in range(500):
            path.outbound(packet)
            answers += len(path.tun.packets())
        assert path.drops() == {DropReason.NO_ROUTE: 500}
    assert 50 <= answers < 200


def test_one_dead_address_does_not_silence_the_answers_about_others() -> None:
    """Above all "too big": without it a connection stalls."""
    dead = [ip_header(4, "100.64.0.1", nobody) for nobody in ("100.64.9.9", "100.64.0.3")]
    with MemoryPath() as path:
        path.datapath.set_online(4, False)  # 100.64.0.3
        path.datapath.set_mtu(3, 1300)
        for _ in range(100):
            for to in dead:
                path.outbound(bytes(to / ICMP(type=8)))
            path.tun.packets()
        path.outbound(udp_packet(header(4), bytes(1300)))
        (answer,) = path.tun.packets()
    assert (IP(answer)[ICMP].type, IP(answer)[ICMP].code) == (3, 4)


@pytest.mark.parametrize(
    "packet",
    [
        bytes(IP(src="100.64.0.1", dst="100.64.9.9") / ICMP(type=3, code=1) / Raw(bytes(28))),
        bytes(IP(src="100.64.0.1", dst="224.0.0.251") / Raw(b"x")),
        bytes(IP(src="100.64.0.1", dst="255.255.255.255") / Raw(b"x")),
        bytes(IP(src="0.0.0.0", dst="100.64.9.9") / Raw(b"x")),
        bytes(IP(src="100.64.0.1", dst="100.64.9.9", frag=9) / Raw(b"x")),
        bytes(IPv6(src="fd74:6f78::1", dst="fd74:6f78::9") / ICMPv6TimeExceeded() / Raw(bytes(48))),
        bytes(IPv6(src="fe80::1", dst="ff02::2") / Raw(b"x")),
        bytes(IPv6(src="::", dst="fd74:6f78::9") / Raw(b"x")),
    ],
    ids=lambda packet: packet.hex()[:48],
)
def test_what_must_not_be_answered_is_not(packet: bytes) -> None:
    with MemoryPath() as path:
        assert path.outbound(packet) == []
        assert path.drops() == {DropReason.NO_ROUTE: 1}
        assert path.tun.packets() == []


def test_a_ping_without_a_route_is_answered() -> None:
    with MemoryPath() as path:
        path.outbound(bytes(IPv6(src="fd74:6f78::1", dst="fd74:6f78::9") / ICMPv6EchoRequest()))
        assert len(path.tun.packets()) == 1


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (SendResult.OFFLINE, DropReason.OFFLINE),
        (SendResult.QUEUE_FULL, DropReason.QUEUE_FULL),
        (SendResult.NOT_FOUND, DropReason.NO_ROUTE),
        (SendResult.INVALID, DropReason.TOO_BIG),
    ],
)
def test_what_the_carrier_refuses_is_counted(result: SendResult, reason: DropReason) -> None:
    with MemoryPath() as path:
        path.carrier.result = result
        path.outbound(*offloaded(tcp_packet(header(4), PAYLOAD), 1000))
        assert path.drops(3) == {reason: 6}
        assert path.datapath.counters(3).tx_packets == 0


# -- turns -----------------------------------------------------------------------------------------


def test_a_turn_is_bounded() -> None:
    packet = udp_packet(header(4), b"x")
    with MemoryPath() as path:
        for _ in range(5):
            path.tun.inject(packet)
        assert [path.datapath.read_tun(2) for _ in range(4)] == [2, 2, 1, 0]
        assert path.carrier.flushes == 3


def test_dropped_packets_end_a_turn_too() -> None:
    packet = udp_packet(ip_header(4, "100.64.0.1", "100.64.9.9"), b"")
    with MemoryPath() as path:
        for _ in range(5):
            path.tun.inject(packet)
        assert path.datapath.read_tun(3) == 3


def test_a_packet_that_the_kernel_cannot_describe_ends_nothing() -> None:
    """read(2) of a TUN is then EINVAL, and the packet is gone; so it is of an epoll descriptor."""
    with select.epoll() as odd:
        datapath = Datapath(MemoryCarrier(), odd.fileno(), PacketFormat.VPN, mtu=1368, vnet_hdr=True)
        assert datapath.read_tun(5) == 5
        assert datapath.drops[DropReason.DEVICE] == 5
        datapath.close()


def test_a_device_that_is_gone_raises() -> None:
    with MemoryTun() as tun:
        datapath = Datapath(MemoryCarrier(), tun.fd, PacketFormat.VPN, mtu=1368, vnet_hdr=True)
        tun._ours.close()
        with pytest.raises(OSError, match="the TUN device is gone"):
            datapath.read_tun()
        datapath.close()


# -- MSS -------------------------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("left_to_us", [True, False])
@pytest.mark.parametrize("before", [[], [("NOP", None)]], ids=["even", "odd"])
def test_the_mss_of_a_syn_is_lowered_to_what_the_friend_takes(
    version: int, left_to_us: bool, before: list[tuple[str, object]]
) -> None:
    options = [*before, ("MSS", 1460), ("SAckOK", b""), ("WScale", 7)]
    packet = tcp_packet(header(version), b"", flags="S", options=options)
    with MemoryPath() as path:
        path.datapath.set_mtu(3, 1300)
        ((_, sent),) = path.outbound(*unfinished(packet)) if left_to_us else path.outbound(packet)
    part = dissect(sent)
    assert part.valid
    assert dict(part.transport.options)["MSS"] == (1260 if version == 4 else 1240)
    assert dict(part.transport.options)["WScale"] == 7


@pytest.mark.parametrize("options", [[("MSS", 1200)], [], [("NOP", None)]])
def test_other_syns_are_left_alone(options: list[tuple[str, object]]) -> None:
    packet = tcp_packet(header(4), b"", flags="S", options=options)
    with MemoryPath() as path:
        assert path.outbound(packet) == [(3, packet)]


# -- the object ------------------------------------------------------------------------------------


def test_after_closing_nothing_works_and_nothing_crashes() -> None:
    path = MemoryPath()
    path.datapath.close()
    path.datapath.close()
    path.carrier.deliver(3, frame_vpn(udp_packet(ip_header(4, "100.64.0.2", "100.64.0.1"), b"x")))
    for use in (
        path.datapath.read_tun,
        lambda: path.datapath.counters(3),
        lambda: path.datapath.set_route(ip_network("10.0.0.0/8"), 3),
        lambda: path.datapath.drops,
    ):
        with pytest.raises(ClosedError):
            use()
    path.tun.close()


@pytest.mark.parametrize("mtu", [575, 1369, 0, -1])
def test_an_impossible_mtu_is_refused(mtu: int) -> None:
    with MemoryTun() as tun, pytest.raises(ValueError, match="out of range: 576 to 1368"):
        Datapath(MemoryCarrier(), tun.fd, PacketFormat.VPN, mtu=mtu, vnet_hdr=True)


def test_friend_numbers_have_a_bound() -> None:
    with MemoryPath() as path:
        with pytest.raises(ValueError, match="is not a friend number"):
            path.datapath.set_online(65536, True)
        path.datapath.set_online(65535, True)


def test_a_removed_friend_leaves_nothing() -> None:
    packet = udp_packet(header(4), b"x")
    with MemoryPath() as path:
        path.outbound(packet)
        path.datapath.remove_friend(3)
        assert path.outbound(packet) == []
        assert path.drops() == {DropReason.NO_ROUTE: 1}
        assert path.datapath.counters(3).tx_packets == 0
        path.datapath.allow_source(ip_network("100.64.0.2/32"), 4)  # free again


def test_a_dropped_object_takes_its_sink_along() -> None:
    carrier = MemoryCarrier()
    read, write = os.pipe()
    Datapath(carrier, read, PacketFormat.VPN, mtu=1368, vnet_hdr=False)
    carrier.deliver(3, b"\xc8nobody is there")
    os.close(read)
    os.close(write)
