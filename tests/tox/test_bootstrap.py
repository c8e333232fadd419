import json
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn._native.results import Connection
from toxvpn.errors import ConfigError
from toxvpn.tox.bootstrap import (
    FIRST_NODES,
    HURRY_S,
    KNOCK_S,
    LONGEST_LOST_S,
    LONGEST_PAUSE_S,
    MORE_NODES,
    BootstrapNode,
    Bootstrapper,
    Contact,
    load_nodes,
    parse_nodes,
)

KEY = "7E" * 32
ENTRY: dict[str, Any] = {
    "ipv4": "203.0.113.1",
    "ipv6": "-",
    "port": 33445,
    "tcp_ports": [443],
    "public_key": KEY,
}


def parse(*entries: object) -> tuple[BootstrapNode, ...]:
    return parse_nodes(json.dumps({"nodes": entries}).encode(), "nodes.json")


# -- the file -------------------------------------------------------------------------------------


def test_the_built_in_list_is_usable_without_name_resolution() -> None:
    nodes = load_nodes()
    assert len(nodes) >= 20
    assert len({node.public_key for node in nodes}) == len(nodes)
    numeric = [node for node in nodes if any(is_address(host) for host in node.hosts)]
    assert len(numeric) >= 15
    assert all(node.tcp_ports for node in nodes)


def is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def test_an_entry_as_the_public_list_has_it() -> None:
    extra = {"maintainer": "x", "status_udp": True, "motd": "🂩", "last_ping": 1, "unknown": {"a": [None]}}
    assert parse(ENTRY | extra) == (BootstrapNode(("203.0.113.1",), 33445, (443,), bytes.fromhex(KEY)),)


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "hosts"),
    [
        ("203.0.113.1", "2001:db8::1", ("203.0.113.1", "2001:db8::1")),
        ("NONE", "2a03:c980:db:5d::", ("2a03:c980:db:5d::",)),
        ("-", "::1", ("::1",)),
        ("tox.example.org", "tox.example.org", ("tox.example.org",)),
        ("", "a", ("a",)),
        (None, "b.example", ("b.example",)),
    ],
)
def test_hosts(ipv4: str | None, ipv6: str, hosts: tuple[str, ...]) -> None:
    assert parse(ENTRY | {"ipv4": ipv4, "ipv6": ipv6})[0].hosts == hosts


def test_only_address_port_and_key_are_needed() -> None:
    assert parse({"ipv6": "::1", "port": 1, "public_key": KEY.lower()})[0].tcp_ports == ()


BAD_ENTRIES = [
    ({"ipv4": "-"}, "has no address"),
    ({"ipv4": "203.0.113.1 "}, '"ipv4" is "203.0.113.1 "'),
    ({"ipv4": "a\0b"}, '"ipv4"'),
    ({"ipv4": 7}, '"ipv4" is 7'),
    ({"ipv6": "-o"}, '"ipv6" is "-o"'),
    ({"ipv6": "a" * 300}, '"ipv6"'),
    ({"port": 0}, '"port" is 0; expected a number from 1 to 65535'),
    ({"port": 65536}, '"port" is 65536'),
    ({"port": "33445"}, '"port" is "33445"'),
    ({"port": True}, '"port" is true'),
    ({"port": 1.5}, '"port" is 1.5'),
    ({"port": None}, '"port" is missing'),
    ({"tcp_ports": 443}, '"tcp_ports" is 443; expected a list'),
    ({"tcp_ports": [443, 0]}, 'in "tcp_ports" is 0'),
    ({"public_key": KEY[:-1]}, '"public_key" is "7E.*expected 64 hexadecimal digits'),
    ({"public_key": "Z" * 64}, '"public_key"'),
    ({"public_key": None}, '"public_key" is missing'),
]


@pytest.mark.parametrize(("change", "why"), BAD_ENTRIES, ids=[str(change)[:40] for change, _ in BAD_ENTRIES])
def test_a_bad_entry_is_named_with_its_number(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=f"^nodes.json: node 2.*{why}") as caught:
        parse(ENTRY, ENTRY | change)
    assert "\n" not in str(caught.value)


def test_an_entry_that_is_no_object() -> None:
    with pytest.raises(ConfigError, match="node 1 is 5; expected an object"):
        parse(5)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "5", '{"nodes": []}', '{"nodes": {}}', "{}", "[" * 100_000, "\xff", "9" * 5000],
)
def test_a_file_that_is_no_list_of_nodes(text: str) -> None:
    with pytest.raises(ConfigError, match=r'^nodes.json .*expected \{"nodes"') as caught:
        parse_nodes(text.encode("latin-1"), "nodes.json")
    assert caught.value.exit_code == 78
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*/absent.json: No such file .*-b takes"):
        load_nodes(tmp_path / "absent.json")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_nodes(tmp_path)


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "nodes.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"nodes": [ENTRY]}).encode())
    assert len(load_nodes(path)) == 1


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
)
entries = st.dictionaries(st.sampled_from(list(ENTRY)), values).map(lambda some: ENTRY | some)


@given(st.lists(entries, max_size=3))
def test_any_entry_is_parsed_or_refused_in_one_line(some: list[dict[str, Any]]) -> None:
    try:
        nodes = parse(*some)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert len(nodes) == len(some)


@given(st.binary())
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_nodes(data, "f")


# -- whom to ask, and when ------------------------------------------------------------------------

NODES = tuple(
    BootstrapNode((f"203.0.113.{number}",), 33445, (33445, 443), bytes([number]) * 32) for number in range(20)
)
NONE, TCP, UDP = Connection.NONE, Connection.TCP, Connection.UDP


def hosts(contacts: list[Contact]) -> list[str]:
    return [contact.host for contact in contacts]


def test_the_start_asks_a_handful_at_random_with_a_relay_each() -> None:
    first = Bootstrapper(NODES, Random(1)).due(0.0, NONE)
    other = Bootstrapper(NODES, Random(2)).due(0.0, NONE)
    assert len(first) == len(set(hosts(first))) == FIRST_NODES
    assert hosts(first) != hosts(other)
    assert {len(contact.tcp_ports) for contact in first} == {1}
    assert {port for contact in first for port in contact.tcp_ports} == {443, 33445}


def test_a_short_list_is_asked_whole() -> None:
    few = Bootstrapper(NODES[:3], Random(1))
    assert sorted(hosts(few.due(0.0, NONE))) == sorted(hosts(few.due(2.0, NONE)))
    assert len(Bootstrapper((), Random(1)).due(0.0, NONE)) == 0


def pauses(connection: Connection) -> list[float]:
    """Between the rounds of an hour; those that knock are none."""
    policy = Bootstrapper(NODES, Random(1))
    rounds = ((tick * 0.25, policy.due(tick * 0.25, connection)) for tick in range(int(3600 / 0.25)))
    times = [
        time
        for time, asked in rounds
        if asked and (connection is TCP or any(each.tcp_ports for each in asked))
    ]
    return [later - earlier for earlier, later in pairwise(times)]


def test_offline_it_never_gives_up_and_notices_soon_that_it_could_go_on() -> None:
    found = pauses(NONE)
    assert found[:3] == [2.0, 4.0, LONGEST_LOST_S]
    assert set(found[3:]) == {LONGEST_LOST_S}


def test_offline_datagrams_go_out_more_often_and_less_so_as_time_goes_by() -> None:
    policy = Bootstrapper(NODES, Random(1))
    rounds = [(tick * 0.25, policy.due(tick * 0.25, NONE)) for tick in range(int(3600 / 0.25))]
    times = [time for time, asked in rounds if asked]
    gaps = {later: later - earlier for earlier, later in pairwise(times)}
    assert max(gap for later, gap in gaps.items() if later <= 60) <= KNOCK_S
    assert max(gap for later, gap in gaps.items() if later <= 120) <= 2 * KNOCK_S + 0.25
    assert {gap for later, gap in gaps.items() if later > 300} == {LONGEST_LOST_S}
    knocked = [contact for _, asked in rounds for contact in asked if not contact.tcp_ports]
    assert knocked and all(len(asked) <= FIRST_NODES for _, asked in rounds)
    assert (
        sum(len(asked) for time, asked in rounds if time < 60) < 60 / KNOCK_S * MORE_NODES + 2 * FIRST_NODES
    )


def test_a_knock_looks_up_no_names() -> None:
    names = SlowNames()
    node = BootstrapNode(("tox.example.org", "2001:db8::1"), 33445, (443,), b"k" * 32)
    policy = Bootstrapper((node,), Random(1), names.resolve)
    for time in (0.0, 2.0):  # rounds
        policy.due(time, NONE)
    assert policy.due(4.0, NONE) == [Contact("2001:db8::1", 33445, (), b"k" * 32)]
    assert len(names.asked) == 2


def test_there_are_no_knocks_in_the_network() -> None:
    policy = Bootstrapper(NODES, Random(1))
    policy.due(0.0, NONE)
    policy.due(2.0, NONE)
    assert policy.due(4.0, TCP) == []
    assert policy.due(5.0, NONE) != []


def test_on_relays_it_takes_its_time() -> None:
    found = pauses(Connection.TCP)
    assert found[:6] == [2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE_S]
    assert set(found[6:]) == {LONGEST_PAUSE_S}


def test_each_round_takes_nodes_that_had_no_turn_yet() -> None:
    policy = Bootstrapper(NODES, Random(1))
    rounds = [hosts(policy.due(float(time), NONE)) for time in (0, 100, 200, 300)]
    asked = [host for each in rounds for host in each]
    assert [len(each) for each in rounds] == [FIRST_NODES, *[MORE_NODES] * 3]
    assert len(set(asked)) == len(asked) == len(NODES)


def test_online_it_is_silent_and_a_drop_starts_over() -> None:
    policy = Bootstrapper(NODES, Random(1))
    for time in range(200):
        policy.due(float(time), NONE)
    assert policy.due(200.0, UDP) == []
    assert policy.due(200.5, NONE) == []  # toxcore tries the nodes it knows first
    assert len(policy.due(202.0, NONE)) == FIRST_NODES
    assert len(policy.due(204.0, NONE)) == MORE_NODES


def test_who_has_lost_the_relays_too_asks_for_others_at_once() -> None:
    policy = Bootstrapper(NODES, Random(1))
    for time in range(200):
        policy.due(float(time), TCP)
    assert not any(contact.tcp_ports for contact in policy.due(200.0, NONE))
    assert all(contact.tcp_ports for contact in policy.due(202.0, NONE))


def test_over_relays_alone_it_goes_on_asking_over_udp() -> None:
    policy = Bootstrapper(NODES, Random(1))
    policy.due(0.0, NONE)
    assert policy.due(1.0, TCP) == []
    contacts = policy.due(2.0, TCP)
    assert len(contacts) == MORE_NODES
    assert {contact.tcp_ports for contact in contacts} == {()}, "relays it has"
    assert policy.due(5.75, TCP) == []
    assert len(policy.due(6.0, TCP)) == MORE_NODES


class SlowNames:
    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def resolve(self, host: str, found: Any) -> None:
        self.asked.append((host, found))


def test_names_are_asked_when_they_are_resolved() -> None:
    names = SlowNames()
    node = BootstrapNode(("tox.example.org", "2001:db8::1"), 33445, (443,), b"k" * 32)
    policy = Bootstrapper((node,), Random(1), names.resolve)
    assert hosts(policy.due(0.0, NONE)) == ["2001:db8::1"]
    assert policy.due(0.25, NONE) == []
    ((host, found),) = names.asked
    assert host == "tox.example.org"
    found(["203.0.113.9", "2001:db8::9"])
    assert policy.due(0.5, NONE) == [
        Contact("203.0.113.9", 33445, (443,), b"k" * 32),
        Contact("2001:db8::9", 33445, (443,), b"k" * 32),
    ]
    assert policy.due(0.75, NONE) == []


def test_without_a_resolver_names_are_left_out() -> None:
    assert (
        Bootstrapper((BootstrapNode(("tox.example.org",), 1, (), b"k" * 32),), Random(1)).due(0.0, NONE) == []
    )


def test_in_a_hurry_it_asks_at_once_whatever_seems_to_be_connected() -> None:
    for connection in Connection:
        bootstrapper = Bootstrapper(NODES, Random(1))
        bootstrapper.due(0.0, Connection.NONE)
        assert not bootstrapper.due(1.0, connection)
        bootstrapper.hurry(1.5)
        asked = bootstrapper.due(1.5, connection)
        assert len(asked) == FIRST_NODES
        assert all(contact.tcp_ports for contact in asked), "relays may be lost too"
        bootstrapper.due(1.5 + HURRY_S, connection)
        assert not bootstrapper.due(2.0 + HURRY_S, Connection.UDP)
