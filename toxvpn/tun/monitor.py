"""Notices when this machine's network changes: rtnetlink reports it, and some files are polled.

In: rtnetlink's multicast groups (linux/rtnetlink.h); out: calls of a coroutine function that reads the state
itself. The messages are not parsed, so losing some (ENOBUFS) does no harm.
"""

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import ToxvpnError
from ..wire.ratelimit import RateLimit

log = logging.getLogger("toxvpn.tun")

GROUPS = 0x01 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, and RTMGRP_…_IFADDR and RTMGRP_…_ROUTE of IPv4 and IPv6."""
POLL_FILES_S = 5.0
BATCH_S = 0.02
"""Changes come in groups: wait this long after the first message for the others."""
RETRY_S = 10.0
"""After a failure, for the kernel does not report the same change twice."""
PAUSE_FACTOR = 20
"""After each call, pause this many times as long as it took: at most 5 % of the time."""


class NetworkMonitor:
    """Calls `on_change` once at the start and after each change, from construction until `close`.

    Needs a running loop. `on_change` returns after how many seconds to call it again even if nothing changes,
    or None.
    """

    def __init__(self, on_change: Callable[[], Awaitable[float | None]], files: Sequence[Path] = ()) -> None:
        self._on_change = on_change
        self._files = files
        self._changed = asyncio.Event()
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, GROUPS))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._drain)
        self._failures = RateLimit(1 / 600, 3)
        self._task = self._loop.create_task(self._run())

    def close(self) -> None:
        self._task.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _drain(self) -> None:
        with suppress(OSError):  # BlockingIOError at the end; ENOBUFS when some were lost
            while True:
                self._socket.recv(1 << 16)
        self._changed.set()

    async def _run(self) -> None:
        while True:
            mtimes = self._mtimes()
            self._changed.clear()
            began_s, again_s = self._loop.time(), None
            try:
                again_s = await self._on_change()
            except Exception as failure:  # whatever it was, the next call may succeed
                again_s = RETRY_S
                if self._failures.take(self._loop.time()):
                    bug = not isinstance(failure, ToxvpnError)
                    log.warning("the state of the network could not be checked: %s", failure, exc_info=bug)
            await asyncio.sleep(max(BATCH_S, PAUSE_FACTOR * (self._loop.time() - began_s)))
            await self._wait_for_change(mtimes, math.inf if again_s is None else self._loop.time() + again_s)
            await asyncio.sleep(BATCH_S)

    async def _wait_for_change(self, mtimes: list[int | None], until_s: float) -> None:
        while not self._changed.is_set() and mtimes == self._mtimes() and self._loop.time() < until_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(POLL_FILES_S, until_s - self._loop.time()))

    def _mtimes(self) -> list[int | None]:
        return [_mtime(path) for path in self._files]


def _mtime(path: Path) -> int | None:
    """In nanoseconds; None when the file cannot be found."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
