from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toxvpn._native.path.packets import FilterRule, Place
from toxvpn.errors import ConfigError
from toxvpn.tcpforward.rules import EVERYTHING, canonical, load_rules, parse_rules
from toxvpn.tcpforward.spec import join_host_port
from toxvpn.wire.ip import UDP

FILE = """\
# what friends may use
localhost:22
\t*.lab.example:443   # the lab

Printer.@631
192.168.1.10:80
10.0.0.0/8:0
[::1]:80
[fd00::/8]:*
"""


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        ("localhost", 22, True),
        ("LocalHost.", 22, True),
        ("localhost", 23, False),
        ("localhost.evil.example", 22, False),
        ("127.0.0.1", 22, False),
        ("a.lab.example", 443, True),
        ("a.b.lab.example", 443, True),
        ("lab.example", 443, False),
        ("alab.example", 443, False),
        ("a.lab.example\n", 443, False),
        ("printer", 631, True),
        ("192.168.1.10", 80, True),
        ("::ffff:192.168.1.10", 80, True),
        ("192.168.1.11", 80, False),
        ("10.255.0.1", 1, True),
        ("11.0.0.1", 1, False),
        ("10.0.0.1.evil.example", 1, False),
        ("0:0::1", 80, True),
        ("::1", 81, False),
        ("fdff::1", 65535, True),
        ("fe00::1", 65535, False),
    ],
)
def test_allows(host: str, port: int, allowed: bool) -> None:
    assert parse_rules(FILE, "rules").allows(host, port) is allowed


def test_no_file_allows_everything_and_an_empty_one_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "rules"
    empty.write_text("# nothing\n\n")
    assert EVERYTHING.allows("anything", 1)
    assert not load_rules(empty).allows("anything", 1)


def test_a_star_is_any_host() -> None:
    rules = parse_rules("*:80", "rules")
    assert rules.allows("name", 80)
    assert rules.allows("127.0.0.1", 80)
    assert rules.allows("::1", 80)
    assert not rules.allows("name", 81)


def test_all_of_ipv6_does_not_hold_ipv4_in_disguise() -> None:
    assert not parse_rules("[::/0]:0", "rules").allows("::ffff:127.0.0.1", 80)


def test_an_address_of_one_link_is_matched_by_its_network() -> None:
    assert parse_rules("[fe80::/10]:80", "rules").allows("fe80::1%eth0", 80)


def test_a_refused_name_may_lead_to_an_address_only_for_ports_with_such_rules() -> None:
    rules = parse_rules("localhost:22\n127.0.0.1:80", "rules")
    assert rules.may_lead("elsewhere", 80) and rules.may_lead("localhost", 22)
    assert not rules.may_lead("elsewhere", 22)
    assert EVERYTHING.may_lead("elsewhere", 22)


def test_rules_within_rules_allow_what_both_do() -> None:
    both = replace(parse_rules("*:0", ""), within=parse_rules("localhost:22\n10.0.0.0/8:80", ""))
    assert both.allows("localhost", 22) and both.allows("10.1.2.3", 80)
    assert not both.allows("10.0.0.1", 3306) and not both.allows("elsewhere", 22)
    # a name by the one, an address of it by the other
    mixed = replace(parse_rules("box.lan:80", ""), within=parse_rules("10.0.0.0/8:80", ""))
    assert not mixed.allows("box.lan", 80) and mixed.may_lead("box.lan", 80)
    assert mixed.allows_at("box.lan", "10.0.0.1", 80)
    assert not mixed.allows_at("box.lan", "192.0.2.1", 80)
    assert not mixed.allows_at("other.lan", "10.0.0.1", 80) and not mixed.may_lead("box.lan", 81)
    nothing = replace(parse_rules("", ""), within=EVERYTHING)
    assert not nothing.allows("localhost", 22)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("localhost", "the port is missing"),
        ("localhost:", "the port is missing"),
        ("localhost:ssh", "not a number"),
        ("localhost:65536", "is out of range: 1 to 65535"),
        (":22", "not a usable host name"),
        ("local host:22", "not a usable host name"),
        ("::1:22", "needs brackets"),
        ("[::1:22", "without its ']'"),
        ("[127.0.0.1]:22", "127.0.0.1"),
        ("[fe80::1%eth0/64]:22", "fe80::1%eth0"),
        ("10.0.0.1/8:22", "host bits set"),
        ("10.0.0.256:22", "10.0.0.256"),
        ("10.0.*:22", "10.0.0.0/8"),
        ("[::ffff:10.0.0.1]:22", "IPv4"),
    ],
)
def test_a_bad_line_is_named_by_its_number(line: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_rules(f"localhost:22\n\n{line}\n", "/etc/rules")
    message = str(error.value)
    assert message.startswith(f"/etc/rules:3: {line!r}: ")
    assert why in message
    assert len(message.splitlines()) == 1


def test_an_unreadable_file_is_a_config_error(tmp_path: Path) -> None:
    binary = tmp_path / "rules"
    binary.write_bytes(b"\xff\xfe")
    for path in (binary, tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            load_rules(path)


@given(st.text(st.sampled_from("[]:@*09a.\n/ #%") | st.characters()), st.text(), st.integers(0, 65535))
def test_any_text_gives_rules_or_a_config_error(text: str, host: str, port: int) -> None:
    try:
        rules = parse_rules(text, "rules")
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
    else:
        rules.allows(host, port)


@given(st.ip_addresses(), st.ip_addresses(), st.integers(1, 65535))
def test_an_address_rule_allows_that_address_alone(address: object, other: object, port: int) -> None:
    assume(not str(address).startswith("::ffff:"))
    rules = parse_rules(join_host_port(str(address), port), "rules")
    assert rules.allows(str(address), port)
    assert rules.allows(str(other), port) is (canonical(str(other)) == address)


def test_rules_of_the_same_lines_are_the_same() -> None:
    text = "localhost:22\n*.lab:0\n10.0.0.0/8:80\n*:1"
    assert parse_rules(text, "rules") == parse_rules(text, "others")
    assert parse_rules(text, "rules") != parse_rules(text + "23", "rules")


# -- over the VPN

EVERYWHERE = Place.ANYWHERE


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("localhost:22", FilterRule(Place.HERE, None, 22, 22)),
        ("LOCALHOST.:22", FilterRule(Place.HERE, None, 22, 22)),
        ("localhost:*", FilterRule(Place.HERE)),
        ("*:22", FilterRule(EVERYWHERE, None, 22, 22)),
        ("*:0", FilterRule(EVERYWHERE)),
        ("10.0.0.5:80", FilterRule(ip_network("10.0.0.5/32"), None, 80, 80)),
        ("tcp/10.0.0.0/8:443", FilterRule(ip_network("10.0.0.0/8"), 6, 443, 443)),
        ("udp/[fd00::/8]:53", FilterRule(ip_network("fd00::/8"), 17, 53, 53)),
        ("UDP/*:*", FilterRule(EVERYWHERE, 17)),
        ("icmp", FilterRule(EVERYWHERE, 1)),
        ("icmp/*", FilterRule(EVERYWHERE, 1)),
        ("icmp/localhost", FilterRule(Place.HERE, 1)),
        ("icmp/10.0.0.0/8", FilterRule(ip_network("10.0.0.0/8"), 1)),
        ("icmp/[fd00::5]", FilterRule(ip_network("fd00::5/128"), 1)),
        ("printer:631", None),
        ("*.lan:0", None),
        ("tcp/printer:631", None),
    ],
)
def test_what_a_rule_says_over_the_vpn(line: str, rule: FilterRule | None) -> None:
    rules = parse_rules(line, "rules")
    assert rules.on_network() == ({} if rule is None else {rule: line})


def test_no_list_allows_everything_over_the_vpn_too() -> None:
    assert EVERYTHING.on_network() == {FilterRule(EVERYWHERE): "everything"}


@pytest.mark.parametrize(
    ("line", "tcp", "udp"),
    [
        ("localhost:22", True, True),
        ("tcp/localhost:22", True, False),
        ("tcp/*:22", True, False),
        ("udp/localhost:22", False, True),
        ("udp/*:*", False, True),
        ("udp/*:53", False, False),
        ("icmp", False, False),
    ],
)
def test_a_forward_is_of_tcp_or_udp(line: str, tcp: bool, udp: bool) -> None:
    rules = parse_rules(line, "rules")
    assert (rules.allows("localhost", 22), rules.allows("localhost", 22, UDP)) == (tcp, udp)


def test_an_address_is_allowed_for_its_protocol_alone() -> None:
    rules = parse_rules("udp/10.0.0.0/8:53", "rules")
    assert rules.may_lead("dns", 53, UDP) and not rules.may_lead("dns", 53)
    assert rules.allows_at("dns", "10.0.0.1", 53, UDP) and not rules.allows_at("dns", "10.0.0.1", 53)
    assert not rules.allows_at("dns", "11.0.0.1", 53, UDP)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("icmp/10.0.0.1:80", "icmp has no ports"),
        ("icmp/", "not a usable host name"),
        ("icmp/10.0.0.0/40", "40"),
        ("tcp/22", "the host is missing: write tcp/localhost:22;"),
        ("22", "the host is missing: write localhost:22;"),
        ("udp/localhost", "the port is missing"),
        ("tcp:22", "write tcp/localhost:22;"),
        ("UDP:53", "write UDP/localhost:53;"),
        ("sctp/localhost:22", "not a usable host name"),
        ("tcp/::1:22", "needs brackets"),
        ("udp/*:53-60", "53-60"),
        ("tcp/tcp/*:22", "not a usable host name"),
    ],
)
def test_what_is_no_rule_over_the_vpn(line: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_rules(line, "rules")
