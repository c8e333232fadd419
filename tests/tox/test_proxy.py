import pytest

from toxvpn.tox.proxy import Proxy, parse_proxy


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("socks5://127.0.0.1:9050", Proxy("socks5", "127.0.0.1", 9050), "socks5://127.0.0.1:9050"),
        (
            "SOCKS5H://Proxy.example:1080/",
            Proxy("socks5", "Proxy.example", 1080),
            "socks5://Proxy.example:1080",
        ),
        ("http://[::1]:3128", Proxy("http", "::1", 3128), "http://[::1]:3128"),
        ("http://proxy@80", Proxy("http", "proxy", 80), "http://proxy:80"),  # as tuntox
    ],
)
def test_what_is_understood(text: str, expected: Proxy, shown: str) -> None:
    assert parse_proxy(text) == expected
    assert str(expected) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected socks5://HOST:PORT or http://HOST:PORT"),
        ("127.0.0.1:9050", "expected socks5://HOST:PORT"),
        ("https://proxy:443", "no other kind of proxy"),
        ("socks4://proxy:443", "no other kind of proxy"),
        ("http://me:hunter2@proxy:80", "asks for a name or password"),
        ("http://me@proxy:80", "asks for a name or password"),
        ("http://proxy", "the port is missing"),
        ("http://proxy:0", "the port is missing or not a number from 1 to 65535"),
        ("http://proxy:65536", "not a number from 1 to 65535"),
        ("http://:80", "the host is not a name or an address"),
        ("http://::1:80", "IPv6 address in brackets"),
        ("http://[fe80::1%eth0:80", "the host is not a name or an address"),
        ("http://a b:80", "the host is not a name or an address"),
        ("http://a/b:80", "the host is not a name or an address"),
        (f"http://{'x' * 255}:80", "the host is not a name or an address"),
    ],
)
def test_mistakes_are_told_without_what_may_be_a_password(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_proxy(text)
    line = str(caught.value)
    assert message in line
    assert "hunter2" not in line and "\n" not in line
