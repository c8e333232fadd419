"""Joins two TUN devices back to back: each packet read from one is written to the other, as it is.

Takes the place of two datapaths and Tox between them. With `vnet_hdr`, super-packets are passed on uncut.
"""

import asyncio
import contextlib
import os

LARGEST_BYTES = 10 + 65_535  # struct virtio_net_hdr and a super-packet
BATCH = 64


class TunCable:
    """Works in the running event loop until `close`, and carries packets while `plugged` is True."""

    def __init__(self, a_fd: int, b_fd: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends = {a_fd: b_fd, b_fd: a_fd}
        self.plugged = True
        for source, sink in self._ends.items():
            self._loop.add_reader(source, self._carry, source, sink)

    def close(self) -> None:
        for source in self._ends:
            self._loop.remove_reader(source)

    def _carry(self, source: int, sink: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                packet = os.read(source, LARGEST_BYTES)
                if self.plugged:
                    with contextlib.suppress(OSError):  # what the kernel does not take is lost, as on a wire
                        os.write(sink, packet)
