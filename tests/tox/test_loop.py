"""Packets on the loop that serves them: of the loop itself nothing runs for a packet."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from toxvpn.testing.craft import ip_header, udp_packet
from toxvpn.testing.memory_path import FRIENDS, OWN, MemoryPath
from toxvpn.tox.loop import Loop, add_reader, remove_reader

PACKET = udp_packet(ip_header(4, OWN[0], FRIENDS[3][0]), b"hello")
LOOPS = pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, Loop])


def run_on(loop: Callable[[], asyncio.AbstractEventLoop], what: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(what)


class Scene:
    """A datapath that the running loop serves; `calls` is how often the loop served its TUN."""

    def __init__(self, path: MemoryPath) -> None:
        self.calls = 0
        self.path = path
        self._loop = asyncio.get_running_loop()
        add_reader(self._loop, path.tun.fd, path.datapath, self._on_readable)

    def _on_readable(self) -> None:
        self.calls += 1
        self.path.datapath.read_tun()

    def close(self) -> None:
        remove_reader(self._loop, self.path.tun.fd)


async def rounds() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@LOOPS
def test_packets_of_the_kernel_go_to_the_friend(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def play() -> None:
        with MemoryPath() as path:
            scene = Scene(path)
            for count in (1, 2):
                path.tun.inject(PACKET)
                await rounds()
                assert len(path.carrier.sent) == count
                assert scene.calls == (0 if loop is Loop else count)
            scene.close()
            path.tun.inject(PACKET)
            await rounds()
            assert len(path.carrier.sent) == 2

    run_on(loop, play())


@LOOPS
def test_a_congested_carrier_is_the_loops_business(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def play() -> None:
        with MemoryPath() as path:
            scene = Scene(path)
            path.carrier.is_congested = True
            path.tun.inject(PACKET)
            await rounds()
            assert scene.calls
            assert path.carrier.sent == []
            scene.close()

    run_on(loop, play())


@LOOPS
def test_a_device_that_is_gone_is_the_loops_business(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def play() -> None:
        with MemoryPath() as path:
            gone = asyncio.Event()
            running = asyncio.get_running_loop()
            add_reader(running, path.tun.fd, path.datapath, gone.set)
            path.tun.hang_up()
            await asyncio.wait_for(gone.wait(), 10)
            with pytest.raises(OSError, match="the TUN device is gone"):
                path.datapath.read_tun()
            remove_reader(running, path.tun.fd)

    run_on(loop, play())


def test_threads_signals_and_timers_work_on_it() -> None:
    """What asyncio does with its selector besides."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, lambda: 7) == 7
        process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        assert (await process.communicate(b"through pipes"))[0] == b"through pipes"
        began_s = loop.time()
        await asyncio.sleep(0.01)
        assert loop.time() - began_s >= 0.01

    run_on(Loop, play())
