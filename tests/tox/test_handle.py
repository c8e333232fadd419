"""Handles as the options want them: ports, proxy, toxcore's own log. None is iterated, so nothing is sent."""

import logging
import socket
from random import Random

import pytest

from toxvpn import linux
from toxvpn._native.net import netio
from toxvpn._native.options import Options
from toxvpn._native.results import PortError, ToxError
from toxvpn.errors import ToxvpnError
from toxvpn.linux import Capability
from toxvpn.state.identity import Identity
from toxvpn.tox import handle
from toxvpn.tox.handle import make_tox
from toxvpn.tox.proxy import Proxy

CHANCE = Random(1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_ports_are_those_asked_for() -> None:
    udp, tcp = free_port(), free_port()
    tox = make_tox(Identity.ephemeral(), CHANCE, (udp, udp), tcp)
    assert (tox.udp_port, tox.tcp_port) == (udp, tcp)
    assert {datagram for _, datagram in tox.sockets()} == {True, False}
    tox.close()


@pytest.mark.skipif(not linux.permitted() & 1 << Capability.NET_ADMIN, reason="marks take CAP_NET_ADMIN")
def test_every_socket_has_the_mark() -> None:
    tox = make_tox(Identity.ephemeral(), CHANCE, tcp_port=free_port(), mark=116)
    for fd, _ in tox.sockets():
        sock = socket.socket(fileno=fd)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == 116
        sock.detach()
    tox.close()


def test_what_cannot_be_marked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = netio.hooks()._replace(sockets=netio.Hook(False, "TOXVPN_SOCKETS=off"))
    monkeypatch.setattr(netio, "hooks", lambda: hooks)
    with pytest.raises(ToxvpnError, match="TOXVPN_SOCKETS=off"):
        make_tox(Identity.ephemeral(), CHANCE, mark=116)


def test_a_relay_port_of_0_is_none() -> None:
    tox = make_tox(Identity.ephemeral(), CHANCE, tcp_port=0)
    assert {datagram for _, datagram in tox.sockets()} == {True}
    tox.close()


def test_toxcores_own_log_is_passed_on_if_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    tox = make_tox(Identity.ephemeral(), CHANCE)
    taken = (tox.udp_port, tox.udp_port)
    with caplog.at_level(logging.DEBUG, "toxvpn"):
        with pytest.raises(PortError):
            make_tox(Identity.ephemeral(), CHANCE, taken)
        assert caplog.messages == []
        with pytest.raises(PortError):
            make_tox(Identity.ephemeral(), CHANCE, taken, toxcore_log=True)
    assert any("failed to bind" in line for line in caplog.messages)
    tox.close()


@pytest.mark.parametrize("proxy", [Proxy("socks5", "127.0.0.1", 9), Proxy("http", "::1", 9)])
def test_with_a_proxy_there_is_no_socket_for_udp(proxy: Proxy) -> None:
    tox = make_tox(Identity.ephemeral(), CHANCE, proxy=proxy)
    assert tox.sockets() == []
    tox.close()


def test_a_proxy_that_cannot_be_found_is_not_passed_over() -> None:
    with pytest.raises(ToxError, match="the proxy's host name could not be resolved"):
        make_tox(Identity.ephemeral(), CHANCE, proxy=Proxy("socks5", "..", 9050))


@pytest.mark.parametrize("wanted", [True, False])
def test_lan_discovery_is_as_asked_for(wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Options] = []
    monkeypatch.setattr(handle, "Tox", lambda options, _: made.append(options))
    make_tox(Identity.ephemeral(), CHANCE, lan_discovery=wanted)
    assert [options.local_discovery for options in made] == [wanted]
