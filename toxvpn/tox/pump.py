"""Wakes a datapath up: when its TUN has packets, and when the socket has room again.

No packet passes through Python; this only says when, and where the loop can serve a datapath (loop.py) not
even that. Inbound packets come with the node's turns. Used by the VPN and by the fast road.
"""

import asyncio
import logging
from collections.abc import Callable

from .._native.datapath import Datapath
from .loop import add_reader, remove_reader
from .node import Node

log = logging.getLogger("toxvpn.tox")

RETRY_S = 1.0


class PacketPump:
    """Runs from construction until `close`, or until the device is removed: then `gone` is called.

    `tun_fd` stays its owner's.
    """

    def __init__(
        self, node: Node, datapath: Datapath, tun_fd: int, gone: Callable[[], None] = lambda: None
    ) -> None:
        self._node = node
        self._datapath = datapath
        self._fd = tun_fd
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._closed = False
        datapath.on_refusal = self._tell_refusal
        self._wait()

    def close(self) -> None:
        """Idempotent; before the datapath and the descriptor are closed."""
        self._closed = True
        self._datapath.on_refusal = None
        remove_reader(self._loop, self._fd)

    def _tell_refusal(self) -> None:
        kinds = " and ".join(self._datapath.refused)
        log.warning(
            "this kernel refuses super-packets of %s: they are written one by one, more slowly", kinds
        )

    def _wait(self) -> None:
        add_reader(self._loop, self._fd, self._datapath, self._outbound)

    def _outbound(self) -> None:
        try:
            self._datapath.read_tun()
        except OSError as failure:
            log.error("%s", failure.strerror)
            self.close()
            self._gone()
            return
        if self._node.tox.congested:  # the device's own queue holds the rest
            self._node.when_writable(self._go_on)
            remove_reader(self._loop, self._fd)

    def _go_on(self) -> None:
        if self._closed or self._node.closed:
            return
        try:
            self._wait()
        except OSError as failure:  # the kernel is short of memory
            log.debug("the device waits: %s", failure.strerror)
            self._loop.call_later(RETRY_S, self._go_on)
            return
        self._node.tox.flush()
        self._outbound()
