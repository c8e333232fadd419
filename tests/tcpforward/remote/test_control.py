"""One end of a control stream of -R, against a peer that talks without end."""

import asyncio
import socket
import time

import pytest

from toxvpn.tcpforward.remote.control import PAUSE_S, READ_BYTES, Control


@pytest.mark.parametrize("line", [b"{}\n", b'{"refused":"in-use"}\n'])
async def test_a_peer_that_talks_without_end_does_not_hold_up_others(line: bytes) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    said = theirs.send(line * (60_000 // len(line)))
    begun_s = time.monotonic()
    with theirs, Control(ours) as control:
        listening = asyncio.create_task(control.until_end())
        while time.monotonic() - begun_s < 2.5 * PAUSE_S:
            await asyncio.sleep(0)
        listening.cancel()
        left = len(ours.recv(1 << 20))
    assert said - 4 * READ_BYTES <= left <= said - READ_BYTES


async def test_a_ping_is_answered_at_once_whatever_follows() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    theirs.send(b'{"ping":true}\n' + b"{}\n" * 20_000)
    with theirs, Control(ours) as control:
        listening = asyncio.create_task(control.receive())
        for _ in range(3):
            await asyncio.sleep(0)
        assert theirs.recv(100) == b'{"pong":true}\n'
        listening.cancel()
