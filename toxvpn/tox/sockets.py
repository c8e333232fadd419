"""Watches toxcore's sockets: keeps them registered with the event loop as toxcore opens and closes them."""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Callable

from .._native.toxcore import Tox
from .._native.wakeups import Arrivals
from .loop import add_reader, remove_reader
from .safecall import SafeCall

log = logging.getLogger("toxvpn.tox")


class SocketWatch:
    """Calls `wake` when data arrives on one of toxcore's sockets, or a connection to a relay has room again.

    It wakes on the arrival (EPOLLET), not for as long as data is there: half a packet from a relay, or a
    connection closed by the other side, stays unread until toxcore's own time-outs.

    Where the exact list is not available (netio's hook for sockets not in force), it finds the UDP socket by
    its port; relays are then served by the iteration timer alone.
    """

    def __init__(self, tox: Tox, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._tox = tox
        self._loop = loop
        self._wake = wake
        self.exact = False
        """Whether every one of toxcore's sockets is watched."""
        self._warned = False
        self._version: int | None = None
        self._arrivals: Arrivals | None = None
        self._to_call: list[Callable[[], None]] = []
        self._call_safely = SafeCall()
        self._writers: list[int] = []

    def refresh(self) -> None:
        """To be called after every call in which toxcore may have opened or closed a socket.

        If a socket cannot be watched, for lack of descriptors or memory, the next call tries again.
        """
        version = self._tox.sockets_version
        if version == self._version:
            return
        # a descriptor may have been closed and its number reused: registers all of them anew
        self.close()
        try:
            self._watch()
        except OSError as failure:
            self.close()
            self.exact = False
            if not self._warned:
                log.warning("cannot watch sockets, so incoming packets are delayed: %s", failure.strerror)
            self._warned = True
        else:
            self._version = version
            self._warned = False

    def _watch(self) -> None:
        found = self._tox.sockets()
        self.exact = bool(found)
        if not self.exact:
            found = [(fd, True) for fd in find_udp_sockets(self._tox.udp_port)]
        self._arrivals = Arrivals(self._tox)
        for fd, datagram in found:
            self._arrivals.add(fd, stream=not datagram)
        add_reader(self._loop, self._arrivals.fileno(), self._arrivals, self._wake)
        if self._to_call:
            self._add_writers()

    def turn(self) -> None:
        """Iterates toxcore, unless the selector has just done so. Raises as Tox.iterate."""
        if self._arrivals is not None:
            self._arrivals.turn()

    def when_writable(self, call: Callable[[], None]) -> None:
        """Calls `call` once when a datagram socket takes data again, also between `forget` and `refresh`."""
        if call not in self._to_call:
            self._to_call.append(call)
        self._add_writers()

    def _add_writers(self) -> None:
        for fd, datagram in self._tox.sockets():
            if datagram and fd not in self._writers:
                self._loop.add_writer(fd, self._on_writable)
                self._writers.append(fd)

    def _remove_writers(self) -> None:
        while self._writers:
            self._loop.remove_writer(self._writers.pop())

    def _on_writable(self) -> None:
        self._remove_writers()
        calls, self._to_call = self._to_call, []
        for call in calls:
            self._call_safely(call)

    def forget(self) -> None:
        """Stops waking on arrivals until the next `refresh`."""
        self._version = None
        if self._arrivals is not None:
            remove_reader(self._loop, self._arrivals.fileno())
            self._arrivals.close()
            self._arrivals = None

    def close(self) -> None:
        """Stops waking at all until the next `refresh`."""
        self.forget()
        self._remove_writers()


def find_udp_sockets(port: int) -> list[int]:
    """The datagram sockets of this process that are bound to that port."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (the numbers, not paths)
        with contextlib.suppress(OSError, ValueError):
            fd = int(name)
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
            probe = socket.socket(fileno=fd)
            try:
                internet = probe.family in (socket.AF_INET, socket.AF_INET6)
                if port and internet and probe.type == socket.SOCK_DGRAM and probe.getsockname()[1] == port:
                    found.append(fd)
            finally:
                probe.detach()  # must not close it
    return found
