"""A stream of a speed test whose end and cancellation come in the same turn of the loop."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from toxvpn.tcpforward.speed.streams import LineStream

LOADS = {
    "send": lambda stream: stream.send_load(10),
    "receive": lambda stream: stream.receive_load(lambda _: None),
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
@pytest.mark.parametrize("turns", [0, 1])
async def test_a_load_is_cancelled_while_its_stream_breaks(
    load: Callable[[LineStream], Awaitable[None]], turns: int
) -> None:
    """It is cancelled `turns` after the other end was closed."""
    loop, faults = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        task = asyncio.ensure_future(load(LineStream(near)))
        await asyncio.sleep(0)
        far.close()
        if turns:
            loop.call_soon(task.cancel)
        else:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await task
    assert faults == []
