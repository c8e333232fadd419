"""What peers say to each other of open ports, and what follows from where DHT nodes see a peer."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.reach import punch
from toxvpn.wire.reach.mapped import may_be_public
from toxvpn.wire.reach.punch import FRESH_S, MOST_TELLERS, Mapping, OpenPorts, Views

HOST = "203.0.113.1"


def views(*ports: int, host: str = HOST, now: float = 0.0) -> Views:
    """Of so many nodes, each of which sees a port."""
    made = Views()
    for number, port in enumerate(ports):
        made.note(f"198.51.100.{number}", (host, port), now)
    return made


@given(st.none() | st.binary(min_size=16, max_size=16))
def test_what_is_encoded_is_decoded(token: bytes | None) -> None:
    packet = punch.encode(OpenPorts(token))
    assert packet[0] == punch.PACKET_ID and len(packet) == 18
    assert punch.decode_untrusted(packet) == OpenPorts(token)


@given(st.binary(max_size=40))
def test_nonsense_is_nothing(packet: bytes) -> None:
    if len(packet) != 18 or packet[1] > 1:
        assert punch.decode_untrusted(packet) is None


@pytest.mark.parametrize(
    ("ports", "mapping"),
    [
        ((), None),
        ((4000,), None),
        ((4000, 4000), Mapping(HOST, 4000)),
        ((4000, 4000, 4000, 9), Mapping(HOST, 4000)),
        ((1, 2), None),
        ((1, 2, 3), Mapping(HOST, None)),
        ((1, 2, 3, 3), Mapping(HOST, None)),
        ((1, 1, 2, 2), Mapping(HOST, None)),
    ],
)
def test_ports_tell_what_a_router_does(ports: tuple[int, ...], mapping: Mapping | None) -> None:
    assert views(*ports).mapping(0.0) == mapping


def test_one_node_counts_once_and_its_last_word() -> None:
    seen = views(1, 2)
    for port in (3, 4, 5):
        seen.note("198.51.100.1", (HOST, port), 1.0)
    assert seen.mapping(1.0) is None
    seen.note("198.51.100.1", (HOST, 1), 2.0)
    assert seen.mapping(2.0) == Mapping(HOST, 1)


def test_a_network_of_ipv6_counts_once() -> None:
    seen = Views()
    for number in range(1, 9):
        seen.note(f"2001:db8::{number}", (HOST, 4000 + number), 0.0)
    assert seen.mapping(0.0) is None
    seen.note("2001:db8:0:1::1", (HOST, 4008), 0.0)
    assert seen.mapping(0.0) == Mapping(HOST, 4008)


def test_the_address_that_most_see_counts() -> None:
    seen = views(4000, 4000, 4000)
    seen.note("192.0.2.1", ("192.0.2.9", 7), 0.0)
    assert seen.mapping(0.0) == Mapping(HOST, 4000)


def test_what_was_seen_long_ago_is_forgotten_and_so_is_what_is_too_much() -> None:
    assert views(4000, 4000).mapping(FRESH_S) is None
    many = views(4000, 4000, *range(1, MOST_TELLERS + 1))
    assert many.mapping(0.0) == Mapping(HOST, None)
    assert len(many._told) == MOST_TELLERS


def test_each_port_is_tried_once() -> None:
    ports = list(punch.ports_to_try(Random(1)))
    assert len(set(ports)) == len(ports) == punch.TRIES
    assert all(1024 <= port < 65536 for port in ports)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "192.168.1.2",
        "224.0.0.1",
        "240.0.0.1",
    ],
)
def test_addresses_of_no_router_on_the_internet(host: str) -> None:
    assert not may_be_public(host)


@pytest.mark.parametrize("host", [HOST, "8.8.8.8", "172.15.0.1"])
def test_addresses_that_a_router_may_have(host: str) -> None:
    assert may_be_public(host)


def test_after_a_move_the_latest_few_count() -> None:
    seen = views(4000, 4000, 4000, 4000)
    seen.note("198.51.100.1", ("192.0.2.9", 7), 1.0)
    assert seen.latest() == {(HOST, 4000), ("192.0.2.9", 7)}
    assert Views().latest() == set()
