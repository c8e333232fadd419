"""The round trip and the loss on the way to each peer of a run, measured in the background.

A peer that acknowledges probes is measured by those that look for the path's MTU anyway (tox/mtuprober.py). A
tuntox program is pinged now and then, in its own protocol; its losses are not known, for toxcore repeats
those packets. Read by control/status_reader.py.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from ..errors import PeerOfflineError
from ..tcpforward.tuntox.road import TuntoxRoad
from ..tox.mtuprober import MtuProber
from ..tox.node import Node
from ..tox.peer import Peer

PING_S = 300.0
"""A ping and its answer take 400 bytes on the wire, and keep an idle node awake for 20 s (tox/timing.py)."""
ANSWER_S = 30.0


class Measured:
    """`pinging` pings those peers that are measured so, for as long as it is open."""

    def __init__(self, node: Node, prober: MtuProber, tuntox: TuntoxRoad) -> None:
        self._node = node
        self._prober = prober
        self._tuntox = tuntox

    def rtt_s(self, public_key: bytes) -> float | None:
        trips = self._prober.trips(public_key)
        return self._tuntox.rtt_s(public_key) if trips is None or trips.rtt_s is None else trips.rtt_s

    def loss(self, public_key: bytes) -> float | None:
        """Which part of the latest probes got lost, 0 to 1."""
        trips = self._prober.trips(public_key)
        return None if trips is None else trips.loss(self._node.now())

    def look(self) -> None:
        """Measures anew, for a person who looks on."""
        self._prober.look()

    @contextlib.contextmanager
    def pinging(self) -> Iterator[None]:
        task = asyncio.get_running_loop().create_task(self._ping_on())
        try:
            yield
        finally:
            task.cancel()

    async def _ping_on(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            await asyncio.gather(*(self._ping(peer) for peer in self._node if self._is_pinged(peer)))

    def _is_pinged(self, peer: Peer) -> bool:
        """Whether it knows no probes, and has answered a ping before: a toxvpn in C++ never does."""
        key = peer.public_key
        return peer.online and self._prober.trips(key) is None and self._tuntox.rtt_s(key) is not None

    async def _ping(self, peer: Peer) -> None:
        with contextlib.suppress(PeerOfflineError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._tuntox.ping(peer)
