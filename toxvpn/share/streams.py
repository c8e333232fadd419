"""Streams to one peer, and pings, as a node offers them to a command.

In: the caller and the roads of the node. Out: the interface that a session (session.py) uses, both on a
shared node and on a run that lends its connections (lend.py).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import PeerOfflineError
from ..tcpforward.builtin import Builtins
from ..tcpforward.caller import Caller
from ..tcpforward.choice import RoadChoice
from ..tcpforward.roads import Roads
from ..tcpforward.speed.client import DONE, SpeedClient, Tell
from ..tox.peer import Peer

PING_S = 60.0
"""How long `-p` waits for the peer: connecting takes 3 to 10 s, on a slow network longer."""


@dataclass(frozen=True, slots=True)
class PeerStreams:
    """Streams to the peer of `caller`. `stopping` is set when the node is to end.

    `builtins` are what peers of the node may ask it for. `loss` gives, by public key, which part of the
    latest lossy probes got lost, if that is known.
    """

    caller: Caller
    roads: Roads
    builtins: Builtins
    stopping: asyncio.Event
    loss: Callable[[bytes], float | None]

    def choice(self, peer: Peer) -> RoadChoice:
        """The road that a stream to the peer would take now, and why."""
        return self.roads.chooser.choice(peer)

    async def speed(self, seconds: float, tell: Tell) -> dict[str, Any]:
        """Tests the speed, `seconds` in each direction, and tells how it goes; returns what to tell last.

        Raises PeerOfflineError, PeerRefusedError, ToxvpnError.
        """
        client = SpeedClient(self.caller, self.roads.chooser, self.loss, tell)
        return {"phase": DONE, "result": (await client.measure(seconds)).document()}

    async def ping(self) -> str:
        """Measures the round trip; returns a line for a person. Raises PeerOfflineError."""
        peer = self.caller.peer
        await self.caller.wait_online(PING_S)
        try:
            async with asyncio.timeout(PING_S):
                rtt_s = await self.roads.tuntox.ping(peer)
        except TimeoutError:
            raise PeerOfflineError(
                f"no answer in {PING_S:.0f} s: the peer is online but does not run tuntox or toxvpn"
            ) from None
        return f"pong from {peer.short} via {peer.path} in {rtt_s * 1000:.2f} ms"
