"""Packets to groups: what goes to which friends, what is let in from them, and how much of it."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6ND_RS, IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from toxvpn._native.path.packets import DropReason, FilterRule, Place
from toxvpn.testing.craft import dissect, offloaded, udp_packet, unfinished
from toxvpn.testing.memory_path import FRIENDS, OWN, MemoryPath

MDNS, MDNS6, EVERYBODY, GAME = (
    ip_address(each) for each in ("224.0.0.251", "ff02::fb", "255.255.255.255", "239.1.2.3")
)
GROUPS = (MDNS, MDNS6, EVERYBODY)
AT_ONCE = 200
"""As in groups.c; more come in at 100 a second."""

Address = IPv4Address | IPv6Address
groups = pytest.mark.parametrize("group", GROUPS, ids=str)


def path_with(*joined: int, groups: tuple[Address, ...] = GROUPS) -> MemoryPath:
    """A path with those groups, in all of which the friends `joined` take part."""
    path = MemoryPath()
    path.datapath.set_groups(groups)
    for number in joined:
        path.datapath.join_groups(number, GROUPS)
    return path


def ip(source: str, group: Address) -> Packet:
    if group.version == 4:
        return IP(src=source, dst=str(group), ttl=1)
    return IPv6(src=source, dst=str(group), hlim=1)


def to_group(group: Address, source: str | None = None, payload: bytes = b"who is there?") -> bytes:
    own = OWN[0 if group.version == 4 else 1]
    return bytes(ip(source or own, group) / UDP(sport=5353, dport=5353) / payload)


def from_friend(group: Address, number: int = 3) -> bytes:
    return to_group(group, FRIENDS[number][0 if group.version == 4 else 1])


# -- outbound


@groups
def test_a_copy_goes_to_each_friend_in_the_group_as_it_is(group: Address) -> None:
    packet = to_group(group)
    with path_with(3, 4) as path:
        assert path.outbound(packet) == [(3, packet), (4, packet)]
        assert path.datapath.counters(4).tx_packets == 1


@groups
def test_who_is_not_in_the_group_or_away_gets_none(group: Address) -> None:
    with path_with(4) as path:
        assert [number for number, _ in path.outbound(to_group(group))] == [4]
        path.datapath.set_online(4, False)
        assert path.outbound(to_group(group)) == []
        assert not any(path.drops(number) for number in (3, 4))


def test_other_groups_stay_here_even_with_a_route_to_everywhere() -> None:
    with path_with(3, 4) as path:
        for everywhere in ("0.0.0.0/0", "::/0"):
            path.datapath.set_route(ip_network(everywhere), 3)
        for group in (GAME, ip_address("ff02::c"), ip_address("224.0.0.1")):
            assert path.outbound(to_group(group)) == []
        assert path.drops() == {DropReason.NO_ROUTE: 3}
        assert path.tun.written() == [], "nobody answers a packet to a group with an error"


def test_packets_that_this_machine_only_passes_on_stay_here() -> None:
    with path_with(3, 4) as path:
        path.datapath.allow_source(ip_network("192.168.7.0/24"), 3)
        for source in (FRIENDS[3][0], "192.168.7.9", "10.0.0.1"):
            assert path.outbound(to_group(MDNS, source)) == []
        assert path.drops() == {DropReason.NO_ROUTE: 3}


@pytest.mark.parametrize("port", [67, 68])
@pytest.mark.parametrize("which", ["sport", "dport"])
def test_dhcp_stays_in_its_network(port: int, which: str) -> None:
    ports = {"sport": 4000, "dport": 4000, which: port}
    with path_with(3) as path:
        assert path.outbound(bytes(ip(OWN[0], EVERYBODY) / UDP(**ports) / b"offer")) == []
        assert path.inbound(bytes(ip(FRIENDS[3][0], EVERYBODY) / UDP(**ports) / b"offer")) == []
        assert path.drops(3) == {DropReason.DESTINATION_NOT_ALLOWED: 1}


def test_only_udp_goes_to_groups() -> None:
    with path_with(3) as path:
        for kind in (ICMP(), Raw(b"igmp")):
            assert path.outbound(bytes(ip(OWN[0], MDNS) / kind)) == []
            assert path.inbound(bytes(ip(FRIENDS[3][0], MDNS) / kind)) == []


def test_what_the_kernel_tells_a_link_is_no_drop() -> None:
    report = IP(src=OWN[0], dst="224.0.0.22", proto=2, ttl=1) / Raw(b"\x22" + bytes(15))
    with path_with(3) as path:
        for packet in (report, IPv6(src="fe80::1", dst="ff02::2", hlim=255) / ICMPv6ND_RS()):
            assert path.outbound(bytes(packet)) == []
        assert path.drops() == {}


def test_later_fragments_follow_the_first() -> None:
    pieces = [
        bytes(IP(src=OWN[0], dst=str(MDNS), flags="MF", frag=0, proto=17) / UDP(dport=5353) / bytes(800)),
        bytes(IP(src=OWN[0], dst=str(MDNS), frag=101, proto=17) / bytes(100)),
    ]
    six = bytes(
        IPv6(src=OWN[1], dst=str(MDNS6)) / IPv6ExtHdrFragment(offset=101, id=7, nh=17) / Raw(bytes(100))
    )
    with path_with(3) as path:
        for piece in (*pieces, six):
            assert path.outbound(piece) == [(3, piece)]


def test_each_friend_gets_what_its_path_carries() -> None:
    packet = bytes(IP(src=OWN[0], dst=str(EVERYBODY)) / UDP(dport=4000, sport=4000) / bytes(1200))
    with path_with(3, 4) as path:
        path.datapath.set_mtu(3, 800)
        sent = path.outbound(packet)
    assert [number for number, _ in sent] == [3, 3, 4]
    assert sent[2][1] == packet, "what was cut for one is whole for the other"
    assert all(len(piece) <= 800 for number, piece in sent if number == 3)


def test_a_checksum_left_to_us_is_completed_in_each_copy() -> None:
    whole = udp_packet(ip(OWN[0], MDNS), b"who is there?")
    with path_with(3, 4) as path:
        sent = path.outbound(*unfinished(whole))
    assert [number for number, _ in sent] == [3, 4]
    assert all(dissect(packet).valid for _, packet in sent)


def test_a_super_packet_is_cut_for_each() -> None:
    whole = udp_packet(ip(OWN[0], MDNS), bytes(range(256)) * 10)
    with path_with(3, 4) as path:
        sent = path.outbound(*offloaded(whole, 1000))
    for number in (3, 4):
        parts = [dissect(packet) for to, packet in sent if to == number]
        assert b"".join(part.payload for part in parts) == bytes(range(256)) * 10
        assert all(part.valid for part in parts)


# -- inbound


@groups
def test_a_packet_of_a_friend_in_the_group_is_let_in_as_it_is(group: Address) -> None:
    packet = from_friend(group)
    with path_with(3) as path:
        assert [written for _, written in path.inbound(packet)] == [packet]
        assert packet[8 if group.version == 4 else 7] == 1, "its TTL is what it was"


@groups
def test_who_does_not_take_part_is_refused(group: Address) -> None:
    with path_with(4) as path:
        assert path.inbound(from_friend(group)) == []
        assert path.drops(3) == {DropReason.DESTINATION_NOT_ALLOWED: 1}
    with path_with(3, groups=(GAME,)) as path:  # it takes part in groups that we have not chosen
        assert path.inbound(from_friend(group)) == []
        assert path.drops(3) == {DropReason.DESTINATION_NOT_ALLOWED: 1}


def test_an_allowed_destination_is_no_group() -> None:
    with path_with() as path:
        path.datapath.allow_destination(ip_network("0.0.0.0/0"))
        assert path.inbound(from_friend(EVERYBODY)) == []


def test_it_must_be_the_friends_own_address() -> None:
    with path_with(3, 4) as path:
        path.datapath.allow_source(ip_network("192.168.7.0/24"), 3)
        for source in (FRIENDS[4][0], OWN[0], "192.168.7.9", "10.0.0.1"):
            assert path.inbound(to_group(MDNS, source)) == []
        assert path.drops(3) == {DropReason.SOURCE_NOT_ALLOWED: 4}


def test_the_filter_of_a_friend_goes_for_groups_too() -> None:
    with path_with(3) as path:
        path.datapath.set_policy(3, [FilterRule(Place.HERE)])
        assert path.inbound(from_friend(MDNS)) == []
        assert path.drops(3) == {DropReason.POLICY: 1}
        path.datapath.set_policy(3, [FilterRule(Place.ANYWHERE, 17, 5353, 5353)])
        assert path.inbound(from_friend(MDNS))
        assert path.outbound(to_group(MDNS)), "what is outbound is never refused"


def test_an_inbound_packet_goes_to_nobody_else() -> None:
    with path_with(3, 4) as path:
        path.inbound(from_friend(EVERYBODY))
        path.datapath.read_tun()
        assert path.carrier.sent == []


# -- bounds


@pytest.mark.real  # the rate is by the machine's clock
def test_what_goes_to_one_friend_is_bounded() -> None:
    with path_with(3) as path:
        packet = to_group(MDNS)  # to make one takes longer than to send it, and the bound grows meanwhile
        sent = sum(len(path.outbound(packet)) for _ in range(2 * AT_ONCE))
        path.datapath.join_groups(4, GROUPS)
        assert [number for number, _ in path.outbound(to_group(MDNS))][-1] == 4, "each has its own bound"
        assert AT_ONCE <= sent < 2 * AT_ONCE
        assert path.drops(3)[DropReason.MULTICAST_RATE] >= 2 * AT_ONCE - sent


@pytest.mark.real
def test_what_comes_from_one_friend_is_bounded() -> None:
    with path_with(3, 4) as path:
        packet = from_friend(MDNS)
        got = sum(len(path.inbound(packet)) for _ in range(2 * AT_ONCE))
        assert AT_ONCE <= got < 2 * AT_ONCE
        assert path.drops(3) == {DropReason.MULTICAST_RATE: 2 * AT_ONCE - got}
        assert path.inbound(from_friend(MDNS, 4), friend_number=4), "each has its own bound"
        unicast = bytes(IP(src=FRIENDS[3][0], dst=OWN[0]) / UDP(dport=9, sport=9) / b"x")
        assert path.inbound(unicast), "nothing else is held back"


# -- the tables


def test_new_groups_are_those_of_nobody_yet() -> None:
    with path_with(3) as path:
        path.datapath.set_groups((GAME, MDNS))
        assert path.outbound(to_group(MDNS)) == []
        path.datapath.join_groups(3, (MDNS, MDNS6))
        assert [number for number, _ in path.outbound(to_group(MDNS))] == [3]
        assert path.outbound(to_group(GAME)) == [] == path.outbound(to_group(MDNS6))
        path.datapath.join_groups(3, ())
        assert path.outbound(to_group(MDNS)) == []


def test_a_removed_friend_is_in_no_group() -> None:
    with path_with(3) as path:
        path.datapath.remove_friend(3)
        path.datapath.set_online(3, True)
        assert path.outbound(to_group(MDNS)) == []


def test_there_is_room_for_32() -> None:
    many = [ip_address(f"239.0.0.{number}") for number in range(33)]
    with MemoryPath() as path:
        path.datapath.set_groups(many[:32])
        path.datapath.join_groups(3, many)
        assert [number for number, _ in path.outbound(to_group(many[31]))] == [3]
        with pytest.raises(ValueError, match="33 groups"):
            path.datapath.set_groups(many)
