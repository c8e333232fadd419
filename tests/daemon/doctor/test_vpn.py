"""The question to a peer's kernel: any answer counts, silence does not."""

import asyncio
import socket

import pytest

from toxvpn.daemon.doctor import vpn
from toxvpn.daemon.doctor.report import VpnSeen
from toxvpn.daemon.doctor.vpn import through_vpn


async def test_whoever_takes_or_refuses_it_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert await through_vpn("toxvpn0", ["127.0.0.1"], port) == VpnSeen("toxvpn0", ("127.0.0.1",))
    assert await through_vpn("toxvpn0", ["127.0.0.1"], port) == VpnSeen("toxvpn0", ("127.0.0.1",))


async def test_silence_and_a_firewalls_word_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(address: str, port: int) -> None:
        if address == "silent":
            await asyncio.Event().wait()
        raise OSError(113, "No route to host")

    monkeypatch.setattr(vpn, "ANSWER_S", 0.01)
    monkeypatch.setattr(asyncio, "open_connection", connect)
    assert await through_vpn("toxvpn0", ["silent", "rejected"]) == VpnSeen(
        "toxvpn0", (), ("silent", "rejected")
    )
