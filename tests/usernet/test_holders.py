"""A network lasts as long as the commands that use it."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.usernet.holders import Holders


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Two that run."""
    made = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    yield made
    for process in made:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


async def test_it_ends_with_the_last_command(processes: list["subprocess.Popen[bytes]"]) -> None:
    none_left = asyncio.Event()
    holders = Holders(none_left.set)
    for process in processes:
        holders.add(process.pid)
    end(processes[0])
    async with asyncio.timeout(10):
        while len(holders) > 1:
            await asyncio.sleep(0)
    assert not none_left.is_set()
    end(processes[1])
    async with asyncio.timeout(10):
        await none_left.wait()
    holders.close()


async def test_a_command_that_has_gone_already(processes: list["subprocess.Popen[bytes]"]) -> None:
    end(processes[0])
    holders = Holders(lambda: None)
    with pytest.raises(ToxvpnError, match="is not there"):
        holders.add(processes[0].pid)


async def test_closing_lets_go_of_all(processes: list["subprocess.Popen[bytes]"]) -> None:
    before = descriptors()
    holders = Holders(lambda: None)
    holders.add(processes[0].pid)
    assert descriptors() == before + 1
    holders.close()
    assert (len(holders), descriptors()) == (0, before)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
