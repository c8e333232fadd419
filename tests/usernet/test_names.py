"""The resolv.conf of a user's network."""

from toxvpn.usernet.internet import DNS
from toxvpn.usernet.names import resolv_conf


def test_it_asks_our_server_alone() -> None:
    assert resolv_conf(None) == b"nameserver 127.0.0.1\nsearch tox.internal\n"


def test_with_the_internet_our_server_is_asked_first() -> None:
    assert resolv_conf(DNS).splitlines()[:2] == [b"nameserver 127.0.0.1", b"nameserver 169.254.53.53"]
