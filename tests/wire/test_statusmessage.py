"""Status messages: ours, the C++ program's, a person's, and a liar's."""

import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import ConfigError
from toxvpn.wire import statusmessage
from toxvpn.wire.exitoffer import ExitOffer
from toxvpn.wire.statusmessage import Status, ToxvpnStatus

FULL = Status(
    IPv4Address("100.64.0.2"),
    ToxvpnStatus(
        more_ip4=(IPv4Address("10.64.0.2"), IPv4Address("198.18.0.2")),
        ip6=IPv6Address("fd74:6f78::1"),
        mtu=1280,
        fast=True,
        routes=(IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/32")),
        name="büro",
        bundles=True,
        version="1.2.3",
        multicast=("239.1.2.3", "mdns"),
    ),
)
FULL_BYTES = (
    b'{"mode":"tun","ownip":"100.64.0.2","toxvpn":{"v":1,"ip4":["10.64.0.2","198.18.0.2"],'
    b'"ip6":"fd74:6f78::1","mtu":1280,"fast":true,"routes":["192.0.2.0/24","2001:db8::/32"],"name":"b\xc3\xbcro","bundles":true,"version":"1.2.3",'
    b'"multicast":["239.1.2.3","mdns"]}}'
)


def ours(**fields: Any) -> bytes:
    return json.dumps({"mode": "tun", "ownip": "100.64.0.2", "toxvpn": {"v": 1} | fields}).encode()


def test_golden_message() -> None:
    assert statusmessage.encode(FULL) == FULL_BYTES
    assert statusmessage.decode(FULL_BYTES) == FULL


def test_what_cpp_toxvpn_says_is_understood() -> None:
    decoded = statusmessage.decode(b'{"mode":"tun","ownip":"10.203.0.2"}')
    assert decoded == Status(IPv4Address("10.203.0.2"))
    assert not decoded.speaks_toxvpn


@pytest.mark.parametrize(
    "message", [b"", b" ", b"Toxing on qTox", b"[]", b"17", b'"{}"', b"null", b"\xff\xfe"]
)
def test_words_and_silence_are_a_plain_peer_without_complaint(message: bytes) -> None:
    assert statusmessage.decode(message) == Status()


def test_a_node_without_address_is_a_plain_peer_for_cpp_toxvpn_and_speaks_toxvpn_for_us() -> None:
    node = Status(toxvpn=ToxvpnStatus())
    assert statusmessage.encode(node) == b'{"toxvpn":{"v":1,"fast":false}}'
    assert statusmessage.decode(statusmessage.encode(node)) == node
    assert statusmessage.decode(b'{"mode":"tun","toxvpn":{"v":1}}') == node
    assert statusmessage.encode(Status()) == b""


def test_unknown_keys_are_ignored_and_white_space_is_fine() -> None:
    message = b' \n{"mode":"tun","x":[{}],"ownip":"100.64.0.2","toxvpn":{"v":1,"later":{"a":[1.5]}}} '
    assert statusmessage.decode(message) == Status(IPv4Address("100.64.0.2"), ToxvpnStatus())


def test_another_mode_claims_no_address() -> None:
    assert statusmessage.decode(b'{"mode":"tap","ownip":"100.64.0.2"}') == Status()


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"{", "not valid JSON"),
        (b'{"mode":"tun"} trailing', "not valid JSON"),
        (b'{"mode":"t\xffn"}', "not valid JSON"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"mode":"tun","mode":"tun"}', "twice"),
        (b'{"toxvpn":{"v":1,"v":1}}', "twice"),
        (b'{"a":' + b"[" * 1000, "JSON|deep"),
        (b'{"a":' * 200, "JSON|deep"),
        (b"{}" + b" " * 1006, "1008 bytes"),
        (b'{"mode":"tun","ownip":1}', "ownip is not text"),
        (b'{"mode":"tun","ownip":"10.0.0"}', "not an IPv4"),
        (b'{"mode":"tun","ownip":"010.0.0.1"}', "not an IPv4"),
        (b'{"mode":"tun","ownip":"fe80::1"}', "not an IPv4"),
        (b'{"mode":"tun","ownip":"0.0.0.0"}', "not the address of a host"),
        (b'{"mode":"tun","ownip":"127.0.0.1"}', "not the address of a host"),
        (b'{"mode":"tun","ownip":"224.0.0.1"}', "not the address of a host"),
        (b'{"mode":"tun","ownip":"255.255.255.255"}', "not the address of a host"),
        (b'{"mode":"tun","ownip":"0.0.0.0","toxvpn":{"v":1}}', "not the address of a host"),
    ],
)
def test_an_unreadable_message_says_nothing_and_the_log_says_why(message: bytes, problem: str) -> None:
    decoded = statusmessage.decode(message)
    assert decoded.ip4 is None
    assert decoded.toxvpn is None
    assert decoded.problem is not None
    assert any(word in decoded.problem for word in problem.split("|"))
    assert decoded.problem.isprintable()


@pytest.mark.parametrize(
    "fields",
    [
        {"v": 2},
        {"v": 10**900},
        {"v": True},
        {"v": 1.0},
        {"v": "1"},
        {"v": None},
        {"ip4": "100.64.0.2"},
        {"ip4": {}},
        {"ip4": None},
        {"ip4": [1]},
        {"ip4": ["fd74:6f78::1"]},
        {"ip4": ["127.0.0.1"]},
        {"ip6": 1},
        {"ip6": "100.64.0.2"},
        {"ip6": "fe80::1%eth0"},
        {"ip6": "::"},
        {"ip6": "::1"},
        {"ip6": "ff02::1"},
        {"mtu": 575},
        {"mtu": 65536},
        {"mtu": 10**900},
        {"mtu": 1280.0},
        {"mtu": True},
        {"mtu": "1280"},
        {"fast": 1},
        {"fast": None},
        {"routes": "192.0.2.0/24"},
        {"routes": [None]},
        {"routes": [0]},
        {"routes": ["192.0.2.1/24"]},
        {"routes": ["192.0.2.0/33"]},
        {"routes": ["fe80::%eth0/64"]},
        {"routes": None},
        {"multicast": "mdns"},
        {"multicast": [1]},
        {"multicast": ["mdns"] * 17},
        {"multicast": ["x" * 40]},
        {"bundles": 1},
        {"version": 1},
        {"version": ""},
        {"version": "1.2.3 "},
        {"version": "1\u001b[31m"},
        {"version": "1" * 33},
        {"name": 7},
        {"name": "x" * 65},
        {"name": "a\nb"},
        {"name": "\x1b[2J"},
        {"name": "\ud800"},
    ],
)
def test_a_value_that_fails_validation_makes_a_plain_peer_that_keeps_its_address(
    fields: dict[str, Any],
) -> None:
    decoded = statusmessage.decode(ours(**fields))
    assert decoded.ip4 == IPv4Address("100.64.0.2")
    assert not decoded.speaks_toxvpn
    assert decoded.problem is not None
    assert decoded.problem.isprintable()
    assert len(decoded.problem) < 150


@pytest.mark.parametrize("entry", [b"1", b"[]", b'"v1"', b"true", b"{}"])
def test_a_toxvpn_entry_of_another_shape_makes_a_plain_peer(entry: bytes) -> None:
    decoded = statusmessage.decode(b'{"toxvpn":' + entry + b"}")
    assert decoded.toxvpn is None
    assert decoded.problem is not None


def test_a_route_offered_twice_is_one_route() -> None:
    decoded = statusmessage.decode(ours(routes=["192.0.2.0/24", "192.0.2.0/24", "198.51.100.7"]))
    assert decoded.toxvpn is not None
    assert decoded.toxvpn.routes == (IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.7/32"))


def test_too_many_routes_are_a_configuration_error() -> None:
    routes = tuple(IPv6Network(f"2001:db8:{number:x}::/48") for number in range(60))
    with pytest.raises(ConfigError, match="allows 1007, offer fewer routes"):
        statusmessage.encode(Status(toxvpn=ToxvpnStatus(routes=routes)))


def test_what_is_too_long_loses_what_peers_can_best_do_without() -> None:
    tags = frozenset(f"abcdef{number:02}" for number in range(16))
    ours = ToxvpnStatus(
        routes=tuple(IPv6Network(f"2001:db8:{number:x}::/48") for number in range(26)),
        name="\N{SNOWMAN}" * 64,
        exit=ExitOffer(frozenset({4}), frozenset(), tags),
        multicast=tuple(f"239.255.255.{number}" for number in range(200, 216)),
    )
    text, left_out = statusmessage.fit(Status(toxvpn=ours))
    assert left_out == ["who may use the exit", "the multicast groups"]
    decoded = statusmessage.decode(text).toxvpn
    assert decoded is not None and (decoded.routes, decoded.name) == (ours.routes, ours.name)
    assert decoded.exit is not None and decoded.exit.is_for(bytes(32), bytes(32))
    assert decoded.multicast == ()


def test_what_fits_loses_nothing() -> None:
    status = Status(toxvpn=ToxvpnStatus(name="box", multicast=("mdns",)))
    assert statusmessage.fit(status) == (statusmessage.encode(status), [])


statuses = st.builds(
    Status,
    st.none() | st.sampled_from([IPv4Address("100.64.0.1"), IPv4Address("10.203.0.2")]),
    st.none()
    | st.builds(
        ToxvpnStatus,
        more_ip4=st.sampled_from([(), (IPv4Address("10.64.0.1"),)]),
        ip6=st.none() | st.integers(1, 2**64).map(lambda low: IPv6Address((0xFD746F78 << 96) + low)),
        mtu=st.none() | st.integers(576, 65535),
        fast=st.booleans(),
        routes=st.lists(
            st.integers(0, 2**24 - 1).map(lambda net: IPv4Network((net << 8, 24))), max_size=20, unique=True
        ).map(tuple),
        name=st.text(max_size=64).filter(str.isprintable),
    ),
)


@given(statuses)
def test_what_a_node_says_its_friend_hears(node: Status) -> None:
    assert statusmessage.decode(statusmessage.encode(node)) == node


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["v", "ip4", "ip6", "mtu", "fast", "routes", "name", "other"])


@given(
    st.binary(max_size=1100)
    | st.binary(max_size=300).map(lambda noise: b"{" + noise)
    | st.dictionaries(keys, json_values).map(lambda fields: ours(**fields))
    | st.fixed_dictionaries({"mode": st.just("tun"), "ownip": json_values, "toxvpn": json_values}).map(
        lambda fields: json.dumps(fields).encode()
    )
)
def test_garbage_gives_a_status_never_an_exception(message: bytes) -> None:
    decoded = statusmessage.decode(message)
    assert decoded.problem is None or decoded.problem.isprintable()
    assert (
        statusmessage.decode(statusmessage.encode(Status(decoded.ip4, decoded.toxvpn))).toxvpn
        == decoded.toxvpn
    )


@given(st.integers(0, len(FULL_BYTES) - 1), st.binary(min_size=1, max_size=3))
def test_a_message_damaged_anywhere_is_harmless(place: int, noise: bytes) -> None:
    statusmessage.decode(FULL_BYTES[:place] + noise + FULL_BYTES[place + len(noise) :])
