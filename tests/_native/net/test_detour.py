"""Datagrams by way of a friend: what passes, in which form, and what is dropped."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.testing.detour_table import DetourTable, counters, host_of, is_onward

BOX, ANN, BEN = 5, 3, 8
"""Friend numbers: of box, as ann and ben have it; and of those two, as box has them."""
ANN_INDEX, BEN_INDEX = 17, 42
SLOT = 1
ANN_KEY, BEN_KEY = os.urandom(32), os.urandom(32)
DATA, HANDSHAKE, COOKIE_REQUEST, COOKIE_RESPONSE = 0x1B, 0x1A, 0x18, 0x19
NODES_REQUEST, NODES_RESPONSE = 2, 4
ROOM, LONGEST = 1370, 2048
S = 1_000_000_000


class Way:
    """From ann by way of box to ben; `lose` are numbers of packets that box does not get."""

    def __init__(self) -> None:
        self.ann, self.box, self.ben = (DetourTable() for _ in range(3))
        self.ann.set(SLOT, BOX, BEN_INDEX, BEN_KEY)
        self.ben.set(SLOT, BOX, ANN_INDEX, ANN_KEY)
        self.box.relay_for({ANN_INDEX: ANN, BEN_INDEX: BEN})

    def relayed(self, datagram: bytes, *, whole: bool = False) -> list[bytes]:
        """The packets that ben gets for the datagram."""
        self.ann.send(SLOT, datagram, whole=whole)
        packets = []
        for to, packet in self.ann.packets():
            assert (to, is_onward(packet)) == (BOX, False)
            passed_on = self.box.relay(ANN, packet)
            assert passed_on is not None
            number, onward = passed_on
            assert (number, is_onward(onward)) == (BEN, True)
            packets.append(onward)
        return packets

    def carry(self, datagram: bytes, *, whole: bool = False) -> list[bytes]:
        """What ben's toxcore gets for what ann's has sent."""
        got = [
            each for packet in self.relayed(datagram, whole=whole) for each in self.ben.arrived(BOX, packet)
        ]
        assert all(source == self.ben.address(SLOT) for _, source in got)
        return [data for data, _ in got]


def datagram(kind: int = DATA, length: int = 500, key: bytes = ANN_KEY) -> bytes:
    return (bytes([kind]) + key + os.urandom(length))[:length]


@contextmanager
def counted(**more: int) -> Iterator[None]:
    before = counters()
    yield
    assert {name: count - before[name] for name, count in counters().items() if count != before[name]} == more


@given(st.integers(1, LONGEST))
def test_a_datagram_of_any_length_arrives_as_it_was(length: int) -> None:
    way, sent = Way(), datagram(length=length)
    assert way.carry(sent) == [sent]
    assert way.ann.traffic(SLOT) == (1, 0, 0)
    assert way.ben.traffic(SLOT) == (0, 1, 0)


def test_the_address_is_link_local_and_of_this_process_alone() -> None:
    one, other = DetourTable(), DetourTable()
    family, port, _, *_ = struct.unpack("=HHI16sI", one.address(SLOT))
    assert (family, socket.ntohs(port)) == (socket.AF_INET6, 1024)
    assert host_of(one.address(SLOT)).startswith("febf:")
    assert len({each.address(slot) for each in (one, other) for slot in range(128)}) == 256
    assert [one.slot(one.address(slot)) for slot in range(128)] == list(range(128))
    assert one.slot(other.address(SLOT)) == -1
    assert one.slot(b"\2\0" + bytes(14)) == -1


def test_each_time_that_it_is_opened_the_port_is_another() -> None:
    """toxcore takes no notice of an address that it has for the peer already."""
    table = DetourTable()
    seen = [table.address(SLOT)]
    for _ in range(3):
        table.open(SLOT, S)
        table.set(SLOT, BOX, BEN_INDEX, BEN_KEY)
        seen.append(table.address(SLOT))
    assert len(set(seen)) == 4
    assert {table.slot(address) for address in seen} == {SLOT}


def test_a_small_datagram_is_one_packet_and_a_large_one_two() -> None:
    way = Way()
    assert [len(packet) for packet in way.relayed(datagram(length=ROOM))] == [ROOM + 3]
    assert [len(packet) for packet in way.relayed(datagram(length=ROOM + 1))] == [ROOM + 3, 4]


def test_half_a_datagram_is_none() -> None:
    way = Way()
    first, second = way.relayed(datagram(length=1500))
    with counted(malformed=1):
        assert way.ben.arrived(BOX, second) == []
    assert way.ben.arrived(BOX, first) == []
    later = way.relayed(datagram(length=1600))
    with counted(malformed=1):
        assert way.ben.arrived(BOX, later[1]) == [], "of another datagram"
    sent = datagram(length=1700)
    assert way.carry(sent) == [sent]


def test_a_probe_is_not_cut_in_two() -> None:
    way = Way()
    (packet,) = way.relayed(datagram(length=ROOM), whole=True)
    assert packet[2] & 4, "and routers may not do it either"
    with counted(too_long=1):
        assert way.relayed(datagram(length=ROOM + 1), whole=True) == []


@pytest.mark.parametrize("kind", [DATA, HANDSHAKE, COOKIE_REQUEST, COOKIE_RESPONSE])
def test_what_a_connection_needs_passes(kind: int) -> None:
    sent = datagram(kind)
    assert Way().carry(sent) == [sent]


@pytest.mark.parametrize("kind", sorted({*range(256)} - {2, 4, *range(0x18, 0x1C)}))
def test_nothing_else_does(kind: int) -> None:
    way = Way()
    with counted(filtered=1):
        assert way.relayed(datagram(kind)) == []
    with counted(filtered=1):
        assert way.ben.arrived(BOX, bytes([210, ANN_INDEX, 8]) + datagram(kind)) == []


def test_nodes_are_asked_for_only_while_it_is_open() -> None:
    way = Way()
    with counted(filtered=1):
        assert way.carry(datagram(NODES_REQUEST)) == []
    way.ann.open(SLOT, 3 * S)
    assert len(way.carry(datagram(NODES_REQUEST))) == 1
    assert way.ben.traffic(SLOT) == (0, 0, 1), "the other side learns that somebody looks here"
    way.ann.now_ns += 3 * S
    with counted(filtered=1):
        assert way.carry(datagram(NODES_REQUEST)) == []


@pytest.mark.parametrize("kind", [NODES_REQUEST, NODES_RESPONSE])
def test_the_friend_brings_no_other_keys_in(kind: int) -> None:
    way = Way()
    packet = bytes([210, ANN_INDEX, 8])
    assert len(way.ben.arrived(BOX, packet + datagram(kind))) == 1
    for forged in (datagram(kind, key=os.urandom(32)), datagram(kind)[:32]):
        with counted(filtered=1):
            assert way.ben.arrived(BOX, packet + forged) == []


def test_only_the_friend_itself_brings_packets() -> None:
    way = Way()
    (packet,) = way.relayed(datagram())
    with counted(unknown=1):
        assert way.ben.arrived(BOX + 1, packet) == []
    with counted(unknown=1):
        assert way.ben.arrived(BOX, packet[:1] + bytes([BEN_INDEX]) + packet[2:]) == []
    way.ben.clear(SLOT)
    with counted(unknown=1):
        assert way.ben.arrived(BOX, packet) == []


def test_only_those_that_are_named_are_relayed_for() -> None:
    way = Way()
    way.ann.send(SLOT, datagram())
    ((_, packet),) = way.ann.packets()
    assert way.box.relay(BEN + 1, packet) is None, "a stranger to the table"
    assert way.box.relay(BEN, packet) is None, "to itself"
    assert way.box.relay(ANN, packet[:1] + b"\0" + packet[2:]) is None, "to nobody"
    way.box.relay_for({ANN_INDEX: ANN})
    assert way.box.relay(ANN, packet) is None
    way.box.relay_for({})
    assert way.box.relay(ANN, packet) is None


def test_a_detour_takes_no_other_one() -> None:
    way = Way()
    way.ann.close()
    with counted(nested=1):
        assert way.relayed(datagram()) == []
    way.ann.close(False)
    assert len(way.relayed(datagram())) == 1


def test_a_way_that_is_gone_loses_what_is_sent() -> None:
    way = Way()
    way.ann.clear(SLOT)
    with counted(unknown=1):
        assert way.relayed(datagram()) == []


def test_what_waits_is_bounded() -> None:
    way = Way()
    sent = 0
    with pytest.raises(BlockingIOError):
        while sent < 1000:
            sent += way.ann.send(SLOT, datagram()) > 0
    assert sent == 255
    assert len(way.ann.packets()) == sent
    way.ann.send(SLOT, datagram())


@given(st.binary(max_size=1500), st.binary(max_size=1500))
def test_any_bytes_are_taken_or_dropped(one: bytes, other: bytes) -> None:
    way = Way()
    for packet in (one, bytes([210, ANN_INDEX, *one[:1]]) + one, bytes([210, ANN_INDEX, *other[:1]]) + other):
        way.ben.arrived(BOX, packet)
        passed_on = way.box.relay(ANN, packet)
        assert passed_on is None or passed_on == (
            BEN,
            packet[:1] + bytes([ANN_INDEX, packet[2] | 8]) + packet[3:],
        )
