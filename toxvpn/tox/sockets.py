"""Which descriptors to wake on: toxcore's own, kept registered with the event loop."""

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
    """Wakes when something comes in on toxcore's sockets, and keeps in step with which they are.

    It wakes on the arrival (EPOLLET), not for as long as something is there: half a packet from a relay,
    or a connection that the other side has closed, stays unread until toxcore's own time-outs.

    Where the exact list is not to be had (netio's sockets part not in force), it finds the UDP
    socket by its port; relays are then served by the iteration timer alone.
    """

    def __init__(self, tox: Tox, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._tox = tox
        self._loop = loop
        self._wake = wake
        self.exact = False
        """Whether every one of toxcore's sockets is watched."""
        self._complained = False
        self._version: int | None = None
        self._arrivals: Arrivals | None = None
        self._to_call: list[Callable[[], None]] = []
        self._guarded = SafeCall()
        self._writers: list[int] = []

    def refresh(self) -> None:
        """After every call that may have opened or closed a socket of toxcore's.

        What cannot be watched, for want of descriptors or memory, is tried again the next time.
        """
        version = self._tox.sockets_version
        if version == self._version:
            return
        # a number may have been closed and given to a new socket: register all of them anew
        self.close()
        try:
            self._watch()
        except OSError as failure:
            self.close()
            self.exact = False
            if not self._complained:
                log.warning("what arrives is looked for only now and then: %s", failure.strerror)
            self._complained = True
        else:
            self._version = version
            self._complained = False

    def _watch(self) -> None:
        found = [fd for fd, _ in self._tox.sockets()]
        self.exact = bool(found)
        if not self.exact:
            found = find_udp_sockets(self._tox.udp_port)
        self._arrivals = Arrivals(self._tox)
        for fd in found:
            self._arrivals.add(fd)
        add_reader(self._loop, self._arrivals.fileno(), self._arrivals, self._wake)
        if self._to_call:
            self._add_writers()

    def turn(self) -> None:
        """What arrived, unless the selector has served it. Raises as Tox.iterate."""
        if self._arrivals is not None:
            self._arrivals.turn()

    def when_writable(self, call: Callable[[], None]) -> None:
        """Calls once when the datagram sockets take data again, also between `forget` and `refresh`."""
        if call not in self._to_call:
            self._to_call.append(call)
        self._add_writers()

    def _add_writers(self) -> None:
        for fd, datagram in self._tox.sockets():
            if datagram and fd not in self._writers:
                self._loop.add_writer(fd, self._writable)
                self._writers.append(fd)

    def _remove_writers(self) -> None:
        while self._writers:
            self._loop.remove_writer(self._writers.pop())

    def _writable(self) -> None:
        self._remove_writers()
        calls, self._to_call = self._to_call, []
        for call in calls:
            self._guarded(call)

    def forget(self) -> None:
        """What arrives wakes nobody until the next `refresh`."""
        self._version = None
        if self._arrivals is not None:
            remove_reader(self._loop, self._arrivals.fileno())
            self._arrivals.close()
            self._arrivals = None

    def close(self) -> None:
        """Nothing wakes until the next `refresh`."""
        self.forget()
        self._remove_writers()


def find_udp_sockets(port: int) -> list[int]:
    """The process's own datagram sockets bound to that port."""
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
                probe.detach()  # it stays its owner's
    return found
