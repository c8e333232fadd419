"""Notices that what we send now leaves from another address than before: the machine has moved.

In: the kernel's messages about addresses and routes (netlink, which everybody may read), and the addresses
that we send to. Out: a call. What counts is the source address that the kernel would choose for each of
them; other changes, as of a container's interface, are none to us.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable

GROUPS = 0x10 | 0x100 | 0x40 | 0x400
"""linux/rtnetlink.h: RTMGRP_IPV4_IFADDR, _IPV6_IFADDR, _IPV4_ROUTE, _IPV6_ROUTE."""
SETTLE_S = 0.05
"""Changes come in groups: an address goes, another comes, then the routes."""
PAUSE_S = 0.5
"""On a router with many routes, whose messages never end, it looks twice a second."""
ANYWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses of nobody (RFC 5737, RFC 3849), for the default routes. Nothing is sent there."""


def source_of(host: str, mark: int = 0) -> str | None:
    """The address that a packet to this address would be sent from; None when there is no way to it.

    `mark` is that of the socket (SO_MARK), by which the routing rules may know it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if mark:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


class SourceWatch:
    """Calls `on_move` after each move, from construction until `close`. `places`: hosts that we send to."""

    def __init__(
        self, places: Callable[[], Iterable[str]], on_move: Callable[[], None], mark: int = 0
    ) -> None:
        self._places = places
        self._on_move = on_move
        self._mark = mark
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        self._sources: dict[str, str | None] = {}
        with contextlib.suppress(OSError):  # no netlink here: toxcore's own time-outs have to do
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._socket.setblocking(False)
            self._socket.bind((0, GROUPS))
            self._loop.add_reader(self._socket, self._on_message)
        self.remember()

    def close(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def remember(self) -> None:
        """To be called when `places` has new ones."""
        self._sources = self._look()

    def _look(self) -> dict[str, str | None]:
        hosts = {*ANYWHERE, *self._places()}
        return {host: source_of(host, self._mark) for host in hosts}

    def _on_message(self) -> None:
        assert self._socket is not None
        self._loop.remove_reader(self._socket)
        self._timer = self._loop.call_later(SETTLE_S, self._compare)

    def _compare(self) -> None:
        self._drain()
        before, self._sources = self._sources, self._look()
        self._timer = self._loop.call_later(PAUSE_S, self._listen)
        if any(source and source != before.get(host, source) for host, source in self._sources.items()):
            self._on_move()

    def _listen(self) -> None:
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._on_message)

    def _drain(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):  # BlockingIOError: no more; ENOBUFS: some were lost
            while self._socket.recv(1 << 16):
                pass
