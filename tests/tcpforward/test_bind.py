"""Where -L and -D listen, and what they say when they cannot."""

import errno
import socket
from collections.abc import Callable, Iterator

import pytest

from toxvpn.errors import NoPermissionError, ToxvpnError
from toxvpn.tcpforward import bind
from toxvpn.tcpforward.spec import EVERYWHERE, LOOPBACK, Listen, Transport

HERE = "127.0.0.1"
Bind = Callable[..., list[socket.socket]]


@pytest.fixture
def free_port() -> int:
    """Of both loopback addresses, by all likelihood."""
    with socket.create_server((HERE, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def bound(no_descriptor_is_left: None) -> Iterator[Bind]:
    """Binds, and closes in the end."""
    made: list[socket.socket] = []

    def call(hosts: tuple[str, ...], port: int, transport: Transport = Transport.TCP) -> list[socket.socket]:
        found = bind.bind(Listen(hosts, port, transport))
        made.extend(found)
        return found

    yield call
    for each in made:
        each.close()


def connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_both_loopbacks(bound: Bind, free_port: int) -> None:
    listeners = bound(LOOPBACK, free_port)
    assert [each.getsockname()[:2] for each in listeners] == [(HERE, free_port), ("::1", free_port)]
    assert not any(each.getblocking() for each in listeners)
    assert connects(HERE, free_port) and connects("::1", free_port)


def test_udp_beside_tcp(bound: Bind, free_port: int) -> None:
    bound(LOOPBACK, free_port)
    datagrams = bound(LOOPBACK, free_port, Transport.UDP)
    assert [each.type for each in datagrams] == 2 * [socket.SOCK_DGRAM]
    assert not any(each.getblocking() for each in datagrams)


def test_a_port_of_udp_is_ours_alone(bound: Bind, free_port: int) -> None:
    bound((HERE,), free_port, Transport.UDP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind((HERE, free_port))
    with pytest.raises(ToxvpnError, match="the port is in use"):
        bound((HERE,), free_port, Transport.UDP)


def test_a_given_address_alone(bound: Bind, free_port: int) -> None:
    bound(("127.0.0.2",), free_port)
    assert connects("127.0.0.2", free_port) and not connects(HERE, free_port)


def test_all_interfaces_do_not_collide(bound: Bind, free_port: int) -> None:
    """0.0.0.0 and :: on the same port: the IPv6 socket must not take IPv4 as well."""
    bound(EVERYWHERE, free_port)
    assert connects(HERE, free_port) and connects("::1", free_port)


def test_a_port_whose_connections_linger_can_be_had_again(bound: Bind, free_port: int) -> None:
    [listener] = bound((HERE,), free_port)
    with socket.create_connection((HERE, free_port)):
        listener.setblocking(True)
        listener.accept()[0].close()  # the side that closes first keeps the port in TIME_WAIT
    listener.close()
    bound((HERE,), free_port)


def test_a_port_in_use(bound: Bind, free_port: int) -> None:
    bound((HERE,), free_port)
    with pytest.raises(ToxvpnError, match=rf"cannot listen on 127\.0\.0\.1:{free_port}: the port is in use"):
        bound((HERE,), free_port)


def test_a_port_in_use_on_one_loopback_alone(bound: Bind, free_port: int) -> None:
    in_use = pytest.raises(ToxvpnError, match=rf"\[::1\]:{free_port}: the port is in use")
    with socket.create_server(("::1", free_port), family=socket.AF_INET6), in_use:
        bound(LOOPBACK, free_port)
    bound(LOOPBACK, free_port)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "nosuch.invalid"])
def test_somebody_elses_address(bound: Bind, host: str, free_port: int) -> None:
    with pytest.raises(ToxvpnError, match=r"cannot listen on .*address of this machine") as error:
        bound((host,), free_port)
    assert "\n" not in str(error.value)


def failing(monkeypatch: pytest.MonkeyPatch, code: int, *hosts: str) -> None:
    real = bind.bind_one

    def bind_one(host: str, listen: Listen) -> socket.socket:
        if host in hosts:
            raise OSError(code, "the kernel's words")
        return real(host, listen)

    monkeypatch.setattr(bind, "bind_one", bind_one)


def test_a_machine_without_ipv6(bound: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EADDRNOTAVAIL, "::1")
    assert [each.family for each in bound(LOOPBACK, 0)] == [socket.AF_INET]


def test_neither_loopback(bound: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EADDRNOTAVAIL, *LOOPBACK)
    with pytest.raises(ToxvpnError, match=r"127\.0\.0\.1:5: the kernel's words"):
        bound(LOOPBACK, 5)


def test_a_port_for_root_alone(bound: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EACCES, HERE)
    with pytest.raises(NoPermissionError, match="below 1024 need root"):
        bound(LOOPBACK, 80)
