"""The paths of Unix sockets: which are accepted, and that they travel unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import UsageError
from toxvpn.tcpforward.spec import (
    Forward,
    Listen,
    Target,
    UnixListen,
    parse_forward,
    parse_listen,
    parse_target,
)
from toxvpn.tcpforward.unix.paths import MAX_PATH_BYTES, as_host, check_path, from_host
from toxvpn.wire.socks5 import encode_connect
from toxvpn.wire.tuntox.frames import encode_host

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=12).filter(
    lambda name: name.isprintable() and name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))
PATHS = PATHS.filter(lambda path: len(path.encode()) <= MAX_PATH_BYTES)


@given(PATHS)
def test_a_path_travels_unchanged(path: str) -> None:
    host = as_host(path)
    assert from_host(host) == path
    if len(host) <= 255:
        assert encode_host(host) == host.encode()
        assert host.encode() in encode_connect(host, 1)


def test_the_usual_path_needs_no_encoding() -> None:
    assert as_host("/run/user/1000/a_b-c.d@2:sock") == "/run/user/1000/a_b-c.d@2:sock"


@given(PATHS.filter(lambda path: not path.endswith("\\")), PATHS)
def test_forward_of_any_two_paths(here: str, there: str) -> None:
    parsed = parse_forward(f"{UnixListen(here)}:{Target(as_host(there), 1)}")
    assert parsed == Forward(UnixListen(here), Target(as_host(there), 1))
    assert parse_listen(str(parsed.listen)) == parsed.listen
    assert parse_target(str(parsed.target)) == parsed.target


@pytest.mark.parametrize(
    ("text", "listen", "target"),
    [
        ("2375:/run/docker.sock", Listen(("127.0.0.1", "::1"), 2375), Target("/run/docker.sock", 1)),
        ("[::1]:2375:/run/docker.sock", Listen(("::1",), 2375), Target("/run/docker.sock", 1)),
        ("2375@/run/a@b", Listen(("127.0.0.1", "::1"), 2375), Target("/run/a@b", 1)),
        ("/tmp/db.sock:localhost:5432", UnixListen("/tmp/db.sock"), Target("localhost", 5432)),
        ("/tmp/db.sock:[::1]:5432", UnixListen("/tmp/db.sock"), Target("::1", 5432)),
        ("/tmp//a.sock:/run/./b.sock", UnixListen("/tmp/a.sock"), Target("/run/b.sock", 1)),
        (r"/tmp/a\:1:/run/[b]", UnixListen("/tmp/a:1"), Target("/run/[b]", 1)),
    ],
)
def test_as_ssh_writes_them(text: str, listen: Listen | UnixListen, target: Target) -> None:
    assert parse_forward(text) == Forward(listen, target)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("run/docker.sock", "does not begin with /"),
        ("/run/../etc/x", "has .. in it"),
        ("/run/..", "has .. in it"),
        ("/run/a\0b", "control characters"),
        ("/run/a\nb", "control characters"),
        ("/run/\x1b[2J", "control characters"),
        ("/run/\udc80", "control characters"),
        ("\0/run/abstract", "does not begin with /"),
        ("@abstract", "does not begin with /"),
        ("", "does not begin with /"),
        ("/", "names a directory"),
        ("/run/", "names a directory"),
        ("/run/.", "names a directory"),
        ("/" + 107 * "a", "has 108 bytes"),
        ("/" + 54 * "ä", "has 109 bytes"),
    ],
)
def test_bad_paths(path: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_path(path)


@pytest.mark.parametrize(
    "host", ["/run/%00", "/run/%2e%2e/x", "/run/%2F..", "/%ff", "/run/%0a", "/run/" + "%20" * 103]
)
def test_bad_requests(host: str) -> None:
    with pytest.raises(ValueError):
        from_host(host)


@given(st.text())
def test_any_request_is_a_path_or_refused(host: str) -> None:
    try:
        path = from_host(host)
    except ValueError:
        return
    assert check_path(path) == path


@pytest.mark.parametrize(
    "text", ["/tmp/a.sock", "/tmp/a.sock:80", "80:/tmp/", "1:2:3:/tmp/a", "/tmp/a:b:80:/run/c"]
)
def test_mistakes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_forward(text)


@pytest.mark.parametrize("text", ["udp/53:/run/a", "both/53:/run/a", "udp//run/a:localhost:53"])
def test_a_unix_socket_carries_no_datagrams(text: str) -> None:
    with pytest.raises(UsageError, match="carries streams alone"):
        parse_forward(text)
