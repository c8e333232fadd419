"""A peer's rules, from what was typed into the compiled path and back to a person."""

import logging
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import cast

import pytest

from toxvpn.tcpforward.rules import parse_rules
from toxvpn.testing.craft import ip_header, tcp_packet
from toxvpn.testing.memory_path import MemoryPath, address_pair
from toxvpn.tox.peer import Peer
from toxvpn.tun.filters import Filters, Reach

OWN, THEIRS = address_pair(4)
BOX = bytes([7]) * 32


class FakePeer:
    public_key = BOX
    number = 3

    def log(self, log: logging.Logger, level: int, text: str, *values: object) -> None:
        log.log(level, "peer box: " + text, *values)


PEER = cast(Peer, FakePeer())


class Limited:
    def __init__(self, path: MemoryPath) -> None:
        self.path = path
        self.allow: list[str] | None = None
        self.filters = Filters(path.datapath, lambda key: None if self.allow is None else self.rules())

    def rules(self) -> Reach:
        return parse_rules("\n".join(self.allow or ()), "test").on_network()

    def set(self, *allow: str) -> None:
        self.allow = list(allow)
        self.filters.apply(PEER)

    def passes(self, port: int) -> bool:
        return bool(self.path.inbound(tcp_packet(ip_header(4, THEIRS, OWN), b"", dport=port, flags="S")))


@pytest.fixture
def limited() -> Iterator[Limited]:
    with MemoryPath() as path:
        yield Limited(path)


def test_the_datapath_does_what_the_rules_say(limited: Limited) -> None:
    limited.filters.apply(PEER)
    assert limited.passes(22) and limited.passes(80)
    limited.set("localhost:22", "printer:80")
    assert limited.passes(22) and not limited.passes(80)
    limited.set()
    assert not limited.passes(22)
    limited.allow = None
    limited.filters.apply(PEER)
    assert limited.passes(80)


def test_a_person_reads_what_was_written(limited: Limited, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "toxvpn.tun")
    limited.filters.apply(PEER)
    assert limited.filters.lines(BOX) is None and caplog.text == ""  # nothing limits it
    for _ in range(2):
        limited.set("localhost:22", "icmp")
    assert limited.filters.lines(BOX) == ("localhost:22", "icmp")
    limited.set()
    assert limited.filters.lines(BOX) == ()
    limited.allow = None
    limited.filters.apply(PEER)
    assert [record.getMessage() for record in caplog.records] == [
        "peer box: may reach over the VPN: localhost:22, icmp",
        "peer box: may reach over the VPN: nothing here",
        "peer box: may reach over the VPN: all of this machine",
    ]


def test_it_says_what_would_happen_and_why(limited: Limited) -> None:
    here, behind = ip_address(str(OWN)), ip_address("10.0.0.5")
    assert limited.filters.judge(PEER, here, 6, 22) == (
        True,
        "it has no `allow`: all of this machine is open to it",
    )
    limited.set("udp/*:53", "10.0.0.5:22", "localhost:22")
    assert limited.filters.judge(PEER, here, 6, 22) == (True, "by the rule 'localhost:22'")
    assert limited.filters.judge(PEER, here, 6, 23) == (
        False, "no rule of its `allow` is for that: udp/*:53, 10.0.0.5:22, localhost:22",
    )  # fmt: skip
    refused = limited.filters.judge(PEER, behind, 6, 22)
    assert not refused.allowed and "not this machine, and not behind it" in refused.why
    limited.path.datapath.allow_destination(ip_network("10.0.0.0/24"), 3)
    assert limited.filters.judge(PEER, behind, 6, 22) == (True, "by the rule '10.0.0.5:22'")
    limited.path.datapath.allow_destination(ip_network("0.0.0.0/0"), 3, outside=True)
    outside = limited.filters.judge(PEER, ip_address("198.51.100.1"), 6, 443)
    assert outside == (True, "it may exit through this machine")
    limited.set()
    assert "which is empty" in limited.filters.judge(PEER, here, 6, 22).why
