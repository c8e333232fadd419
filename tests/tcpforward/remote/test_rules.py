"""allow_listen: where a peer may have this machine listen."""

from ipaddress import ip_address

import pytest

from toxvpn.tcpforward.remote.rules import NOTHING, parse_listen_rules
from toxvpn.wire.remotelisten import ListenProtocol

TCP, UDP = ListenProtocol.TCP, ListenProtocol.UDP


def allows(rule: str, address: str, port: int, protocol: ListenProtocol = TCP) -> bool:
    return parse_listen_rules([rule]).allow(ip_address(address), port, protocol)


@pytest.mark.parametrize(
    ("rule", "address", "port"),
    [
        ("8080", "127.0.0.1", 8080),
        ("8080", "::1", 8080),
        ("8080", "127.0.0.2", 8080),
        ("80", "127.0.0.1", 80),
        ("*", "127.0.0.1", 8080),
        ("localhost:*", "::1", 1024),
        ("localhost:0", "::1", 65535),
        ("127.0.0.1:*", "127.0.0.1", 8080),
        ("127.0.0.1:*", "127.0.0.1", 0),
        ("[::1]:8080", "::1", 8080),
        ("*:8080", "0.0.0.0", 8080),
        ("*:8080", "::", 8080),
        ("*:8080", "10.0.0.5", 8080),
        ("0.0.0.0:8080", "0.0.0.0", 8080),
        ("10.0.0.0/8:8080", "10.0.0.5", 8080),
        ("[fd00::/8]:*", "fd00::5", 8080),
        ("tcp/8080", "127.0.0.1", 8080),
        ("tcp/*:8080", "10.0.0.5", 8080),
        (" 8080 ", "127.0.0.1", 8080),
    ],
)
def test_it_is_allowed(rule: str, address: str, port: int) -> None:
    assert allows(rule, address, port)


@pytest.mark.parametrize(
    ("rule", "address", "port"),
    [
        ("8080", "0.0.0.0", 8080),
        ("8080", "::", 8080),
        ("8080", "10.0.0.5", 8080),
        ("8080", "127.0.0.1", 8081),
        ("8080", "127.0.0.1", 0),
        ("127.0.0.1:*", "::1", 8080),
        ("127.0.0.1:*", "0.0.0.0", 8080),
        ("localhost:*", "10.0.0.5", 8080),
        ("localhost:*", "::", 8080),
        ("0.0.0.0:8080", "127.0.0.1", 8080),
        ("0.0.0.0:8080", "::", 8080),
        ("10.0.0.0/8:8080", "0.0.0.0", 8080),
        ("udp/8080", "127.0.0.1", 8080),
    ],
)
def test_it_is_not_allowed(rule: str, address: str, port: int) -> None:
    assert not allows(rule, address, port)


@pytest.mark.parametrize("rule", ["*", "*:*", "localhost:*", "127.0.0.0/8:0"])
def test_a_port_below_1024_takes_a_rule_that_names_it(rule: str) -> None:
    assert not allows(rule, "127.0.0.1", 443) and allows(rule, "127.0.0.1", 1024)
    assert allows("443", "127.0.0.1", 443)
    assert parse_listen_rules(["443"]).names_privileged_port
    assert not parse_listen_rules([rule, "8080"]).names_privileged_port


def test_a_protocol() -> None:
    assert allows("udp/5353", "127.0.0.1", 5353, UDP) and not allows("tcp/5353", "127.0.0.1", 5353, UDP)
    assert allows("5353", "127.0.0.1", 5353, UDP)


def test_without_rules_nothing_is_allowed() -> None:
    assert not NOTHING.allow(ip_address("127.0.0.1"), 8080, TCP)
    assert parse_listen_rules([]) == NOTHING


@pytest.mark.parametrize(
    "line",
    ["", "http", "localhost", "10.0.0.5", "10.0.0.0/8", "::1:80", "99999", "example.org:80", "icmp", "a:b:c"],
)
def test_a_line_that_cannot_be_read_says_what_can(line: str) -> None:
    with pytest.raises(ValueError, match="expected a port, or address:port"):
        parse_listen_rules([line])
