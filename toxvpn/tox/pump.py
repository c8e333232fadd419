"""Wakes a datapath up when its TUN has packets, and asks for room when they have to wait.

No packet passes through Python; this only says when, and where the loop can serve a datapath (loop.py) not
even that. Inbound packets come with the node's turns. Used by the VPN and by the fast road.
"""

import asyncio
import logging
from collections.abc import Callable

from .._native.path.datapath import Datapath
from .loop import add_reader, remove_reader
from .node import Node

log = logging.getLogger("toxvpn.tox")


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
        datapath.on_refusal = self._tell_refusal
        add_reader(self._loop, tun_fd, datapath, self._outbound)

    def close(self) -> None:
        """Idempotent; before the datapath and the descriptor are closed."""
        self._datapath.on_refusal = None
        remove_reader(self._loop, self._fd)

    def _tell_refusal(self) -> None:
        kinds = " and ".join(self._datapath.refused)
        log.warning(
            "this kernel refuses super-packets of %s: they are written one by one, more slowly", kinds
        )

    def _outbound(self) -> None:
        try:
            self._datapath.read_tun()
        except OSError as failure:
            log.error("%s", failure.strerror)
            self.close()
            self._gone()
            return
        self._node.turns.send_when_writable()
