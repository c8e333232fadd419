"""Notices what becomes of the machine's network: the kernel tells, and some files are looked at.

In: rtnetlink's multicast groups (linux/rtnetlink.h); out: calls of one coroutine function, which looks
for itself at what there is. Messages are read and thrown away: one that was lost, when there are too
many, is as good as one that was not.
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
"""RTMGRP_LINK, and of IPv4 and IPv6 RTMGRP_…_IFADDR and RTMGRP_…_ROUTE."""
FILES_S = 5.0
GATHER_S = 0.02
"""After the first message, for those that come with it."""
RETRY_S = 10.0
"""After a look that failed: the kernel will not tell again of what it has told of."""
REST = 20
"""A look is followed by a pause of so many times what it took."""


class NetworkWatch:
    """Runs from construction (beneath a loop) until `close`; `look` is called once at the start, too.

    It returns after how many seconds to look again though nothing happens, or None.
    """

    def __init__(self, look: Callable[[], Awaitable[float | None]], files: Sequence[Path] = ()) -> None:
        self._look = look
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
            seen = self._ages()
            self._changed.clear()
            began_s, again_s = self._loop.time(), None
            try:
                again_s = await self._look()
            except Exception as failure:  # whatever it was, the next look may find better times
                again_s = RETRY_S
                if self._failures.take(self._loop.time()):
                    bug = not isinstance(failure, ToxvpnError)
                    log.warning("the network could not be looked after: %s", failure, exc_info=bug)
            await asyncio.sleep(max(GATHER_S, REST * (self._loop.time() - began_s)))
            await self._something_new(seen, math.inf if again_s is None else self._loop.time() + again_s)
            await asyncio.sleep(GATHER_S)

    async def _something_new(self, seen: list[int | None], until_s: float) -> None:
        while not self._changed.is_set() and seen == self._ages() and self._loop.time() < until_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(FILES_S, until_s - self._loop.time()))

    def _ages(self) -> list[int | None]:
        return [_age(path) for path in self._files]


def _age(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
