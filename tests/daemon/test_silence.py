import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from toxvpn._native.results import Connection
from toxvpn.daemon import silence
from toxvpn.daemon.silence import silence_told
from toxvpn.tox.peer import Peer

OURS = bytes([0xAB]) * 32


@pytest.mark.parametrize(
    ("own", "peers", "told"),
    [
        (Connection.UDP, Connection.NONE, True),
        (Connection.TCP, Connection.NONE, True),
        (Connection.UDP, Connection.TCP, False),  # it is there
        (Connection.NONE, Connection.NONE, False),  # it is us who are not
    ],
)
async def test_it_is_told_of_a_peer_that_should_have_answered(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    own: Connection,
    peers: Connection,
    told: bool,
) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 0)
    node: Any = SimpleNamespace(connection=own, tox=SimpleNamespace(public_key=OURS))
    with caplog.at_level(logging.WARNING), silence_told(node, Peer(0, bytes(32), peers)):
        await asyncio.sleep(0.001)
    assert ("`toxvpn peer accept ABABABAB`" in caplog.text) is told


async def test_it_is_not_told_once_the_call_is_over(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 0)
    node: Any = SimpleNamespace(connection=Connection.UDP, tox=SimpleNamespace(public_key=OURS))
    with silence_told(node, Peer(0, bytes(32))):
        pass
    await asyncio.sleep(0.001)
    assert caplog.text == ""
