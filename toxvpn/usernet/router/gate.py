"""The gate: packets that begin a conversation wait here for an answer from outside, or are let in.

In: the descriptor of a TUN device (ruleset.py says what is routed there). Out: calls for what is understood;
the rest is counted. `send` gives a packet to the namespace: a SYN goes on to our listener, an answer to the
peer.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable

from ...wire.answers import Echo, Opening, parse_untrusted
from ...wire.ip import MAX_IP_BYTES
from .doorkeeper import Drop

BATCH = 64


class Gate:
    """Reads from `start` until `close`, in the running event loop. The descriptor stays its owner's."""

    def __init__(self, descriptor: int) -> None:
        self.drops: Counter[Drop] = Counter()
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()

    def start(self, on_opening: Callable[[Opening], None], on_echo: Callable[[Echo], None]) -> None:
        self._loop.add_reader(self._descriptor, self._read, on_opening, on_echo)

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)

    def send(self, packet: bytes) -> None:
        try:
            os.write(self._descriptor, packet)
        except OSError:
            self.drops[Drop.QUEUE_FULL] += 1

    def _read(self, on_opening: Callable[[Opening], None], on_echo: Callable[[Echo], None]) -> None:
        for _ in range(BATCH):
            try:
                packet = os.read(self._descriptor, MAX_IP_BYTES)
            except BlockingIOError:
                return
            found = parse_untrusted(packet)
            if isinstance(found, Opening):
                on_opening(found)
            elif isinstance(found, Echo):
                on_echo(found)
            elif not _is_to_group(packet):
                self.drops[Drop.MALFORMED] += 1


def _is_to_group(packet: bytes) -> bool:
    """So the kernel asks for routers, and tells of groups, on a new link: IPv6 to ff00::/8."""
    return len(packet) > 24 and packet[0] >> 4 == 6 and packet[24] == 0xFF
