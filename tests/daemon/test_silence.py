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


NOTHING = ""
LET_IN_BY = "`toxvpn peer accept ABABABAB`"
NOT_HERE = "not on the Tox network"


@pytest.mark.parametrize(
    ("own", "peers", "let_in", "told"),
    [
        (Connection.UDP, Connection.NONE, False, LET_IN_BY),
        (Connection.TCP, Connection.NONE, False, LET_IN_BY),
        (Connection.UDP, Connection.NONE, True, NOTHING),  # by a secret or an invite
        (Connection.UDP, Connection.TCP, False, NOTHING),  # it is there
        (Connection.NONE, Connection.NONE, False, NOT_HERE),
        (Connection.NONE, Connection.NONE, True, NOT_HERE),
        (Connection.NONE, Connection.UDP, False, NOTHING),  # in the LAN
    ],
)
async def test_it_is_told_what_is_missing_when_nothing_comes(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    own: Connection,
    peers: Connection,
    let_in: bool,
    told: str,
) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 0)
    node: Any = SimpleNamespace(connection=own, tox=SimpleNamespace(public_key=OURS))
    with caplog.at_level(logging.WARNING), silence_told(node, Peer(0, bytes(32), peers), let_in=let_in):
        await asyncio.sleep(0.001)
    assert len(caplog.messages) == bool(told)
    assert told in caplog.text


async def test_it_is_not_told_once_the_call_is_over(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 0)
    node: Any = SimpleNamespace(connection=Connection.UDP, tox=SimpleNamespace(public_key=OURS))
    with silence_told(node, Peer(0, bytes(32)), let_in=False):
        pass
    await asyncio.sleep(0.001)
    assert caplog.text == ""
