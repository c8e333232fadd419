"""The question to a peer's kernel: any answer counts, silence does not."""

import asyncio
import socket

import pytest

from toxvpn.doctor import vpn
from toxvpn.doctor.findings import State
from toxvpn.doctor.peer_observations import VpnSeen
from toxvpn.doctor.running import common_addresses
from toxvpn.doctor.vpn import check_vpn


async def test_whoever_takes_or_refuses_it_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert await check_vpn("toxvpn0", ["127.0.0.1"], port) == VpnSeen("toxvpn0", ("127.0.0.1",))
    assert await check_vpn("toxvpn0", ["127.0.0.1"], port) == VpnSeen("toxvpn0", ("127.0.0.1",))


async def test_silence_and_a_firewalls_word_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(address: str, port: int) -> None:
        if address == "silent":
            await asyncio.Event().wait()
        raise OSError(113, "No route to host")

    monkeypatch.setattr(vpn, "ANSWER_S", 0.01)
    monkeypatch.setattr(asyncio, "open_connection", connect)
    assert await check_vpn("toxvpn0", ["silent", "rejected"]) == VpnSeen(
        "toxvpn0", (), ("silent", "rejected")
    )


def test_a_peer_that_is_here_for_forwards_is_not_said_to_have_a_firewall() -> None:
    silent = VpnSeen("toxvpn0", (), ("fd74:6f78::2",), stated=False)
    assert silent.finding().state is State.LIMITED
    assert "`toxvpn up` does not run there" in silent.finding().detail
    assert VpnSeen("toxvpn0", ("fd74:6f78::2",), stated=False).finding().state is State.OK


def test_only_addresses_that_we_have_a_way_to_are_asked() -> None:
    own = {"interface": "toxvpn0", "ipv4": "100.64.0.1", "ipv6": None}
    peer = {"ipv4": "100.64.0.2", "ipv6": "fd74:6f78::2"}
    assert common_addresses(own, peer) == ["100.64.0.2"], "this machine has no IPv6"
    assert common_addresses(own | {"ipv6": "fd74:6f78::1"}, peer) == ["100.64.0.2", "fd74:6f78::2"]
    assert common_addresses(own | {"ipv6": "fd74:6f78::1"}, peer | {"ipv4": None}) == ["fd74:6f78::2"]
    assert common_addresses(own | {"interface": None}, peer) == []
