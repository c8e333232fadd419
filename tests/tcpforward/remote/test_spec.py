"""-R as it is typed."""

import pytest

from toxvpn.errors import UsageError
from toxvpn.tcpforward.remote.spec import parse_remote, parse_remote_listen
from toxvpn.tcpforward.spec import Target


@pytest.mark.parametrize(
    ("text", "listen", "target"),
    [
        ("8080:localhost:80", "127.0.0.1:8080, [::1]:8080", Target("localhost", 80)),
        ("localhost:8080:h:80", "127.0.0.1:8080, [::1]:8080", Target("h", 80)),
        ("*:8080:h:80", "0.0.0.0:8080, [::]:8080", Target("h", 80)),
        (":8080:h:80", "0.0.0.0:8080, [::]:8080", Target("h", 80)),
        ("0.0.0.0:8080:h:80", "0.0.0.0:8080", Target("h", 80)),
        ("[::1]:8080:[fd00::1]:80", "[::1]:8080", Target("fd00::1", 80)),
        ("0:h:80", "127.0.0.1:0, [::1]:0", Target("h", 80)),
        ("8080:/run/a.sock", "127.0.0.1:8080, [::1]:8080", Target("/run/a.sock", 1)),
        ("*:8080:/run/a.sock", "0.0.0.0:8080, [::]:8080", Target("/run/a.sock", 1)),
        ("/run/a.sock:h:80", "/run/a.sock", Target("h", 80)),
        ("/run/a.sock:/run/b.sock", "/run/a.sock", Target("/run/b.sock", 1)),
        ("10.0.0.5@8080@h@80", "10.0.0.5:8080", Target("h", 80)),
        ("udp/*:53:h:53", "udp/0.0.0.0:53, [::]:53", Target("h", 53)),
    ],
)
def test_the_peer_listens_there_and_we_connect_to_the_target(text: str, listen: str, target: Target) -> None:
    found = parse_remote(text)
    assert (str(found.listen), found.target) == (listen, target)
    assert str(found) == f"{listen} -> {target}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8080", "parts are missing"),
        ("8080:h", "parts are missing"),
        ("a:b:c:d:e", "too many parts"),
        ("8080:h:0", "out of range"),
        ("99999:h:80", "out of range"),
        ("8080::80", "the host is missing"),
        ("example.org:8080:h:80", "looks up no names"),
        ("[fe80::1%eth0]:8080:h:80", "without a zone"),
        ("[::ffff:1.2.3.4]:8080:h:80", "IPv4 as IPv4"),
    ],
)
def test_a_mistake_is_named(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as told:
        parse_remote(text)
    assert repr(text) in str(told.value) and "expected [bind:]port:host:hostport" in str(told.value)


def test_where_to_listen_alone() -> None:
    assert str(parse_remote_listen("[::1]:8080")) == "[::1]:8080"
    assert str(parse_remote_listen("0")) == "127.0.0.1:0, [::1]:0"
    with pytest.raises(UsageError, match="too many parts"):
        parse_remote_listen("1:2:3")


def test_both_are_two() -> None:
    assert [str(each) for each in parse_remote("both/127.0.0.1:53:h:53").each()] == [
        "127.0.0.1:53 -> h:53",
        "udp/127.0.0.1:53 -> h:53",
    ]
    (only,) = parse_remote("8080:h:80").each()
    assert str(only) == "127.0.0.1:8080, [::1]:8080 -> h:80"
