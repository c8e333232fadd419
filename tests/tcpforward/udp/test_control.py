"""The stream on which peers speak about associations, against a peer that talks without end."""

import asyncio
import socket

from toxvpn.tcpforward.udp.control import READ_BYTES, ControlStream
from toxvpn.wire.associations import AssociationEnded, encode
from toxvpn.wire.jsonlines import encode_line


async def test_a_peer_that_talks_without_end_does_not_hold_up_others() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    line = encode_line(encode(AssociationEnded(1)))
    theirs.send(line * 4000)
    control = await ControlStream.over(ours)
    taken = 0

    async def take() -> None:
        nonlocal taken
        async for _ in control.messages():
            taken += 1

    taking, most = asyncio.create_task(take()), 0
    while taken < 4000:
        before = taken
        await asyncio.sleep(0)
        most = max(most, taken - before)
    taking.cancel()
    control.close()
    theirs.close()
    assert 0 < most <= READ_BYTES // len(line) + 1
