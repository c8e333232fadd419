"""Wakes a datapath when its TUN has packets, and has them sent later when the socket is full.

No packet passes through Python. On a loop that serves datapaths itself (loop.py) this only does what is left
undone. Inbound packets come with the node's turns. Used by the VPN and by the fast road.
"""

import asyncio
import logging
from collections.abc import Callable

from .._native.path.datapath import Datapath
from .loop import add_reader, remove_reader
from .node import Node

log = logging.getLogger("toxvpn.tox")


class PacketPump:
    """Runs from construction until `close`, or until the device is removed: then `on_gone` is called.

    `tun_fd` is not closed here.
    """

    def __init__(
        self, node: Node, datapath: Datapath, tun_fd: int, on_gone: Callable[[], None] = lambda: None
    ) -> None:
        self._node = node
        self._datapath = datapath
        self._fd = tun_fd
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        datapath.on_refusal = self._warn_refusal
        node.datapaths.append(datapath)
        add_reader(self._loop, tun_fd, datapath, self._on_readable)

    def close(self) -> None:
        """Idempotent; before the datapath and the descriptor are closed."""
        self._datapath.on_refusal = None
        if self._datapath in self._node.datapaths:
            self._node.datapaths.remove(self._datapath)
        remove_reader(self._loop, self._fd)

    def _warn_refusal(self) -> None:
        kinds = " and ".join(self._datapath.refused)
        log.warning(
            "this kernel refuses super-packets of %s, so packets are written one by one, more slowly", kinds
        )

    def _on_readable(self) -> None:
        try:
            self._datapath.read_tun()
        except OSError as failure:
            log.error("%s", failure.strerror)
            self.close()
            self._on_gone()
            return
        self._node.turns.send_when_writable()
