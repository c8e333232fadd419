"""What a friend may reach, where that is limited: the path asks policy.c and counts what it refuses."""

from ipaddress import ip_address, ip_network

import pytest
from scapy.packet import Packet

from toxvpn._native.path.packets import DropReason, FilterRule, Place
from toxvpn.testing.craft import ip_header, offloaded, tcp_packet, udp_packet
from toxvpn.testing.memory_path import OWN, MemoryPath, address_pair
from toxvpn.wire.policy import UNANSWERED_S

SSH = FilterRule(Place.HERE, 6, 22, 22)
S = 1_000_000_000

versions = pytest.mark.parametrize("version", [4, 6])


def inward(version: int, friend_number: int = 3) -> Packet:
    own, friend = address_pair(version, friend_number)
    return ip_header(version, friend, own)


def outward(version: int, friend_number: int = 3) -> Packet:
    return ip_header(version, *address_pair(version, friend_number))


def syn(version: int, port: int, friend_number: int = 3) -> bytes:
    return tcp_packet(inward(version, friend_number), b"", dport=port, flags="S")


@versions
def test_a_refused_packet_is_counted_for_its_friend(version: int) -> None:
    with MemoryPath() as path:
        path.datapath.set_policy(3, [SSH])
        assert path.inbound(syn(version, 22), syn(version, 23)) != []
        assert path.drops(3) == {DropReason.POLICY: 1}
        assert path.datapath.counters(3).rx_packets == 1


def test_others_are_not_limited() -> None:
    with MemoryPath() as path:
        path.datapath.set_policy(3, [])
        assert path.inbound(syn(4, 23)) == []
        assert len(path.inbound(syn(4, 23, 4), friend_number=4)) == 1
        path.datapath.set_policy(3, None)
        assert len(path.inbound(syn(4, 23))) == 1


def test_a_rule_opens_no_destination() -> None:
    """It limits what the table of destinations allows."""
    packet = tcp_packet(ip_header(4, "100.64.0.2", "10.0.0.5"), b"", dport=22, flags="S")
    with MemoryPath() as path:
        path.datapath.set_policy(3, [FilterRule(ip_network("10.0.0.0/8"), 6, 22, 22)])
        assert path.inbound(packet) == []
        assert path.drops(3) == {DropReason.DESTINATION_NOT_ALLOWED: 1}
        path.datapath.allow_destination(ip_network("10.0.0.0/24"), 3)
        assert len(path.inbound(packet)) == 1


@versions
@pytest.mark.parametrize("make", [tcp_packet, udp_packet])
def test_a_super_packet_of_ours_is_answered(version: int, make: type) -> None:
    body, vnet = offloaded(make(outward(version), bytes(20_000)), 1200)
    opened = tcp_packet(outward(version), b"", flags="S")
    answer = make(inward(version), b"answer", sport=80 if make is tcp_packet else 53, dport=5001)
    with MemoryPath() as path:
        path.datapath.set_policy(3, [])
        path.outbound(opened)
        assert len(path.outbound(body, vnet)) > 10
        assert len(path.inbound(answer)) == 1
        assert path.drops(3) == {}


def test_no_rules_are_asked_about_what_is_outside() -> None:
    """A peer that may exit reaches the Internet, and of this machine what its rules say."""

    def packet(destination: str) -> bytes:
        return tcp_packet(ip_header(4, "100.64.0.2", destination), b"", dport=443, flags="S")

    with MemoryPath() as path:
        path.datapath.set_policy(3, [SSH])
        path.datapath.allow_destination(ip_network("0.0.0.0/0"), 3, outside=True)
        path.datapath.allow_destination(ip_network("10.0.0.0/8"), 3)
        assert len(path.inbound(packet("198.51.100.1"))) == 1
        assert path.inbound(packet(OWN[0]), packet("10.0.0.5")) == []
        assert path.drops(3) == {DropReason.POLICY: 2}


def test_answers_are_let_through_to_the_friend_that_was_asked() -> None:
    with MemoryPath() as path:
        for friend_number in (3, 4):
            path.datapath.set_policy(friend_number, [])
        path.outbound(udp_packet(outward(4), b"question"))
        answer = {"sport": 53, "dport": 5001}
        assert path.inbound(udp_packet(inward(4, 4), b"x", **answer), friend_number=4) == []
        assert len(path.inbound(udp_packet(inward(4), b"x", **answer))) == 1


def test_time_passes() -> None:
    answer = udp_packet(inward(4), b"x", sport=53, dport=5001)
    with MemoryPath() as path:
        path.datapath.set_policy(3, [])
        for late_s, passes in ((UNANSWERED_S, 1), (UNANSWERED_S + 1, 0)):
            path.carrier.stop_clock(1000 * S)
            path.outbound(udp_packet(outward(4), b"question"))
            path.carrier.stop_clock((1000 + late_s) * S)
            assert len(path.inbound(answer)) == passes
            path.datapath.set_policy(3, None)  # forgets the flows
            path.datapath.set_policy(3, [])


def test_a_friend_that_is_removed_leaves_no_rules_behind() -> None:
    """A number can be used again, for another friend."""
    with MemoryPath() as path:
        path.datapath.set_policy(3, [])
        path.datapath.remove_friend(3)
        path.datapath.allow_source(ip_network("100.64.0.2"), 3)
        assert len(path.inbound(syn(4, 23))) == 1


def test_it_says_which_rule_allows_something() -> None:
    with MemoryPath() as path:
        with pytest.raises(ValueError, match="nothing limits friend 3"):
            path.datapath.judge(3, ip_address(OWN[0]), 6, 22)
        path.datapath.set_policy(3, [FilterRule(Place.ANYWHERE, 1), SSH])
        assert path.datapath.judge(3, ip_address(OWN[0]), 6, 22) == 1
        assert path.datapath.judge(3, ip_address(OWN[1]), 58) == 0
        assert path.datapath.judge(3, ip_address(OWN[1]), 17, 22) is None
        path.datapath.add_own_address(ip_network("100.64.7.7"))  # an address that comes later is here too
        assert path.datapath.judge(3, ip_address("100.64.7.7"), 6, 22) == 1
