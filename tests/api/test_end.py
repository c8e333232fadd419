"""The end of a node, on each road: what is on the way arrives, the rest is reset, and nothing is left."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from .conftest import PORT, MakeNode, connected, in_time

MUCH = bytes(range(256)) * 16384  # 4 MiB

pytestmark = pytest.mark.parametrize("road", ["tuntox", "fast"])


def state() -> tuple[object, ...]:
    """What belongs to the program, or to the whole process."""
    loggers = [logging.getLogger(), logging.getLogger("toxvpn")]
    return (
        [signal.getsignal(number) for number in signal.valid_signals()],
        [(each.level, list(each.handlers), each.propagate) for each in loggers],
        Path("/proc/self/status").read_text().partition("Cap")[2].partition("Cpus")[0],
        Path("/proc/self/limits").read_text(),
        dict(os.environ),
        asyncio.get_running_loop().get_exception_handler(),
        (sys.excepthook, Path.cwd(), os.umask(os.umask(0o22))),
    )


def children() -> str:
    return "".join(each.read_text() for each in Path("/proc/self/task").glob("*/children"))


async def test_nothing_is_left(no_descriptor_is_left: None, make_node: MakeNode, road: str) -> None:
    before, children_before, tasks = state(), children(), asyncio.all_tasks()
    async with connected(make_node, road) as pair:
        (reader, _), (far_reader, _) = await in_time(pair.open())
        (_, closed), _ = await in_time(pair.open())
        closed.close()
        opening = asyncio.create_task(pair.client.open_connection(pair.peer, "localhost", PORT))
        await asyncio.sleep(0)
        opening.cancel()
        pair.client.listen(pair.peer, "localhost", PORT)
        assert state() == before
        assert (children() != children_before) is (road == "fast")
        await pair.client._close(0)
        for each in (reader, far_reader):
            with pytest.raises(ConnectionResetError):
                await in_time(each.read())
    assert opening.cancelled()
    assert (state(), children(), asyncio.all_tasks()) == (before, children_before, tasks)


async def test_what_is_on_the_way_arrives(
    no_descriptor_is_left: None, make_node: MakeNode, road: str
) -> None:
    async with connected(make_node, road) as pair:
        (_, writer), (far_reader, far_writer) = await in_time(pair.open())
        writer.write(MUCH)
        writer.close()

        async def read() -> bytes:
            received = await far_reader.read()
            far_writer.close()
            return received

        reading = asyncio.create_task(read())
        await pair.client._close(5)
        assert await in_time(reading) == MUCH
