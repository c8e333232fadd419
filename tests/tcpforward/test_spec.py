from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import UsageError
from toxvpn.tcpforward.spec import (
    EVERYWHERE,
    LOOPBACK,
    Forward,
    Listen,
    Target,
    Transport,
    join_host_port,
    parse_forward,
    parse_forward_listen,
    parse_listen,
    parse_target,
)

PORTS = st.integers(1, 65535)
NAMES = st.text(
    st.characters(codec="utf-8", categories=["L", "N"], include_characters="-._%"), min_size=1, max_size=63
)
HOSTS = NAMES | st.ip_addresses().map(str)


@pytest.mark.parametrize(
    ("text", "listen", "target"),
    [
        ("8080:web:80", Listen(LOOPBACK, 8080), Target("web", 80)),
        ("8080@web@80", Listen(LOOPBACK, 8080), Target("web", 80)),
        ("localhost:8080:web:80", Listen(LOOPBACK, 8080), Target("web", 80)),
        (":8080:web:80", Listen(EVERYWHERE, 8080), Target("web", 80)),
        ("*:8080:web:80", Listen(EVERYWHERE, 8080), Target("web", 80)),
        ("10.0.0.1:8080:web:80", Listen(("10.0.0.1",), 8080), Target("web", 80)),
        ("[fd00::1]:8080:[::1]:80", Listen(("fd00::1",), 8080), Target("::1", 80)),
        ("[fd00::1]@8080@[fe80::1%eth0]@80", Listen(("fd00::1",), 8080), Target("fe80::1%eth0", 80)),
    ],
)
def test_forward(text: str, listen: Listen, target: Target) -> None:
    assert parse_forward(text) == Forward(listen, target)


@pytest.mark.parametrize(
    ("text", "transport"),
    [
        ("tcp/5353:dns:53", Transport.TCP),
        ("udp/5353:dns:53", Transport.UDP),
        ("UDP/5353:dns:53", Transport.UDP),
        ("both/5353:dns:53", Transport.BOTH),
    ],
)
def test_the_protocol_of_a_forward_stands_before_it(text: str, transport: Transport) -> None:
    assert parse_forward(text) == Forward(Listen(LOOPBACK, 5353, transport), Target("dns", 53))


def test_a_forward_of_both_protocols_is_two_listeners() -> None:
    both = parse_forward_listen("both/[::1]:53")
    assert [str(each) for each in both.each()] == ["[::1]:53", "udp/[::1]:53"]
    assert str(both) == "both/[::1]:53"
    tcp = parse_forward_listen("53")
    assert tcp.each() == (tcp,) == (parse_listen("53"),)


@pytest.mark.parametrize("text", ["sctp/53:dns:53", "udp/", "udp53:dns:53", "udp/udp/53:dns:53"])
def test_another_protocol_is_refused_with_what_was_typed(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_forward(text)
    assert str(error.value).startswith(repr(text))


def test_socks_is_of_tcp_alone() -> None:
    with pytest.raises(UsageError):
        parse_listen("udp/1080")


def test_listen() -> None:
    assert parse_listen("1080") == Listen(LOOPBACK, 1080)
    assert parse_listen("[::1]:1080") == Listen(("::1",), 1080)
    assert str(parse_listen("1080")) == "127.0.0.1:1080, [::1]:1080"


@given(HOSTS, PORTS)
def test_what_a_target_prints_is_read_back(host: str, port: int) -> None:
    target = Target(host, port)
    assert parse_target(str(target)) == target


@given(HOSTS, PORTS, HOSTS, PORTS)
def test_forward_of_any_host_and_port(bind: str, port: int, host: str, hostport: int) -> None:
    forward = parse_forward(f"{join_host_port(bind, port)}:{join_host_port(host, hostport)}")
    assert isinstance(forward.listen, Listen)
    assert forward.listen.port == port
    assert forward.target == Target(host, hostport)
    assert bind in forward.listen.hosts or bind == "localhost"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "parts are missing"),
        ("80", "parts are missing"),
        ("8080:web", "parts are missing"),
        ("8080:web:", "the port is missing"),
        ("8080::80", "the host is missing"),
        ("8080:[]:80", "not an IPv6 address"),
        ("8080:[web]:80", "not an IPv6 address"),
        ("8080:::1:80", "too many parts"),
        ("a:b:8080:web:80", "too many parts"),
        ("0:web:80", "is out of range: 1 to 65535"),
        ("8080:web:65536", "is out of range: 1 to 65535"),
        ("8080:web:99999999999999999999", "is out of range: 1 to 65535"),
        ("8080:web:http", "not a number"),
        ("8080:web:-1", "not a number"),
        ("8080:web:８０", "not a number"),
        ("8080:[::1:80", "without its ']'"),
        ("8080:::1]:80", "']' that does not end"),
        ("8080:[::1]x:80", "']' that does not end"),
        ("8080:x[::1]:80", "'[' that does not begin"),
        ("8080:[[::1]]:80", "'[' that does not begin"),
        ("8080:we b:80", "spaces or control"),
        ("8080:we\0b:80", "spaces or control"),
        ("8080:we\nb:80", "spaces or control"),
        (f"8080:{'x' * 256}:80", "more than 255 bytes"),
        (f"8080:{'ä' * 128}:80", "more than 255 bytes"),
        ("8080:\udcff:80", "more than 255 bytes, or spaces"),
        ("udp:8080:web:80", "is in the wrong place"),
        ("53/udp:web:80", "is in the wrong place"),
        ("8080:web:53/UDP", "is in the wrong place"),
        ("8080:udp/web:80", "is in the wrong place"),
        ("x/y.sock:web:80", "a path begins with '/'"),
        ("./x.sock:web:80", "a path begins with '/'"),
        ("8080:./x.sock", "a path begins with '/'"),
    ],
)
def test_a_bad_forward_is_named_with_the_expected_form(text: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_forward(text)
    message = str(error.value)
    assert message.startswith(repr(text))
    assert why in message
    assert "[bind:]port:host:hostport" in message
    assert "\n" not in message


@pytest.mark.parametrize("parse", [parse_forward, parse_target, parse_listen])
@given(text=st.text(st.sampled_from("[]:@*09a.\0 ") | st.characters()))
def test_any_text_gives_a_value_or_a_usage_error(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except UsageError as error:
        assert len(str(error).splitlines()) == 1
