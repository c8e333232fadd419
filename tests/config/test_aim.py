from ipaddress import ip_address

import pytest

from toxvpn.config.aim import Aim, parse_aim
from toxvpn.errors import UsageError


@pytest.mark.parametrize(
    ("text", "aim"),
    [
        ("tcp/22", Aim(6, None, 22)),
        ("TCP/localhost:22", Aim(6, None, 22)),
        ("udp/10.0.0.5:53", Aim(17, ip_address("10.0.0.5"), 53)),
        ("tcp/[fd00::5]:443", Aim(6, ip_address("fd00::5"), 443)),
        ("icmp", Aim(1)),
        ("icmp/localhost", Aim(1)),
        ("icmp/10.0.0.5", Aim(1, ip_address("10.0.0.5"))),
        ("icmp/[fd00::5]", Aim(1, ip_address("fd00::5"))),
    ],
)
def test_what_can_be_asked_about(text: str, aim: Aim) -> None:
    assert parse_aim(text) == aim


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("22", "does not begin with tcp, udp or icmp"),
        ("tcp", "port"),
        ("tcp/0", "port"),
        ("tcp/70000", "port"),
        ("tcp/printer:80", "packets have no names"),
        ("tcp/fd00::5:80", "needs brackets"),
        ("icmp/10.0.0.5:1", "icmp has no ports"),
        ("icmp/10.0.0.0/8", "is not an address"),
        ("", "does not begin"),
    ],
)
def test_what_cannot(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_aim(text)


def test_icmp_has_a_number_for_each_version() -> None:
    assert [Aim(1).protocol_of(version) for version in (4, 6)] == [1, 58]
    assert [Aim(17).protocol_of(version) for version in (4, 6)] == [17, 17]
