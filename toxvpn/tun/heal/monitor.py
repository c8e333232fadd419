"""Notices when this machine's network changes: the kernel reports it, and some files are watched.

In: multicast groups of rtnetlink and nfnetlink; out: calls of a coroutine function that reads the state
itself, so that losing some messages (ENOBUFS) does no harm. Neighbours: `notices` (reads who sent them).
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import ToxvpnError
from ...wire.ratelimit import RateLimit
from ..host.namespace import HERE, Namespace
from .filewatch import FileWatch

log = logging.getLogger("toxvpn.tun")

GROUPS = 0x01 | 0x10 | 0x100 | 0x40 | 0x400 | 1 << 7 | 1 << 18 | 1 << 23 | 1 << 24
"""linux/rtnetlink.h: RTNLGRP_LINK; and _IFADDR, _ROUTE, _RULE, _NETCONF (sysctls) of IPv4 and IPv6."""
NETLINK_NETFILTER, NFT_GROUP = 12, 1 << 6
"""linux/netlink.h, linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES."""
TABLES_OF_OURS = b"toxvpn_"
"""Begins their names. A change of other nftables tables, which may be frequent, is nothing to us."""
BATCH_S = 0.02
"""Changes come in groups: wait this long after the first message for the others."""
RETRY_S = 10.0
"""After a failure, for the kernel does not report the same change twice."""
PAUSE_FACTOR = 20
LONGEST_PAUSE_S = 1.0
"""After each call, pause this many times as long as it took, for at most 5 % of the time; but no longer than
this, for what is taken away is to be back within 2 s."""


class NetworkMonitor:
    """Calls `on_change` once at the start and after each change, from construction until `close`.

    Needs a running loop. `on_change` returns after how many seconds to call it again even if nothing changes,
    or None. `on_datagram` gets each of the kernel's messages at once.
    """

    def __init__(
        self,
        on_change: Callable[[], Awaitable[float | None]],
        files: Sequence[Path] = (),
        on_datagram: Callable[[bytes], None] = lambda datagram: None,
        namespace: Namespace = HERE,
    ) -> None:
        self._on_change = on_change
        self._on_datagram = on_datagram
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._sockets = [_socket(namespace, socket.NETLINK_ROUTE, GROUPS)]
        self._loop.add_reader(self._sockets[0], self._drain, self._sockets[0])
        with suppress(OSError):  # a kernel without nftables has no tables of ours either
            self._sockets.append(_socket(namespace, NETLINK_NETFILTER, NFT_GROUP))
            self._loop.add_reader(self._sockets[1], self._drain, self._sockets[1], TABLES_OF_OURS)
        self._watch = FileWatch(files, self._changed.set)
        self._failures = RateLimit(1 / 600, 3)
        self._task = self._loop.create_task(self._run())

    def close(self) -> None:
        self._task.cancel()
        self._watch.close()
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()

    def _drain(self, sock: socket.socket, interesting: bytes = b"") -> None:
        try:
            while True:
                datagram = sock.recv(1 << 16)
                self._on_datagram(datagram)
                if interesting in datagram:
                    self._changed.set()
        except BlockingIOError:
            pass
        except OSError:  # ENOBUFS: some were lost
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._watch.renew()
            began_s, again_s = self._loop.time(), None
            try:
                again_s = await self._on_change()
            except Exception as failure:  # whatever it was, the next call may succeed
                again_s = RETRY_S
                if self._failures.take(self._loop.time()):
                    bug = not isinstance(failure, ToxvpnError)
                    log.warning("the state of the network could not be checked: %s", failure, exc_info=bug)
            pause_s = PAUSE_FACTOR * (self._loop.time() - began_s)
            await asyncio.sleep(min(max(BATCH_S, pause_s), LONGEST_PAUSE_S))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), again_s)
            await asyncio.sleep(BATCH_S)


def _socket(namespace: Namespace, protocol: int, groups: int) -> socket.socket:
    sock = namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    try:
        sock.bind((0, groups))
    except OSError:
        sock.close()
        raise
    return sock
