"""Which road a stream takes: the fast one where both sides have it and it works, else tuntox's.

In: what the peer's status message offers, what our own stack can do, how the last try went. Out: an
open stream, and for log and status the road's name and the reason. `--road` pins the choice.
"""

import asyncio
import logging

from ..errors import ToxvpnError
from ..tox.node import Node
from ..tox.peer import Peer
from ..wire import status
from . import spec
from .fastcall import FastRoad, RoadBrokenError
from .lossless import LosslessRoad
from .road import Stream
from .stack import StackUnavailableError

log = logging.getLogger("toxvpn.tcpforward")

TRY_AGAIN_S = 60.0
"""After the fast road failed with a peer, its streams take the other one for so long."""
STATUS_S = 3.0
"""toxcore delivers the status message right after the connect; a peer without one is no toxvpn."""


class Roads:
    """A `road.Road` that chooses among the two. `fast` is set by the owner when the stack is up."""

    name = "auto"

    def __init__(self, node: Node, lossless: LosslessRoad, wanted: spec.Road) -> None:
        self.fast: FastRoad | None = None
        self.why_not_fast = "the private stack is not up yet"
        self.settled = asyncio.Event()  # whether there is a stack is known
        self._node = node
        self._lossless = lossless
        self._wanted = wanted
        self._failed: dict[bytes, tuple[float, str]] = {}
        self._told: dict[bytes, tuple[str, str]] = {}
        if wanted is spec.Road.TUNTOX:
            self.no_stack("--road tuntox")

    def stack_is_up(self, fast: FastRoad) -> None:
        self.fast = fast
        self.settled.set()

    def no_stack(self, reason: str) -> None:
        self.fast = None
        self.why_not_fast = reason
        self.settled.set()

    def choice(self, peer: Peer) -> tuple[str, str]:
        """The road that a stream would take now, and why."""
        reason = self._objection(peer)
        return ("fast", "both sides have it") if reason is None else ("tuntox", reason)

    async def open(self, peer: Peer, host: str, port: int) -> Stream:
        """Raises OpenFailed, PeerOfflineError; with --road fast also when that road cannot be had."""
        await self._until_known(peer)
        reason = self._objection(peer)
        if reason is None and self.fast is not None:
            try:
                stream = await self.fast.open(peer, host, port)
            except (RoadBrokenError, StackUnavailableError) as failure:
                self._failed[peer.public_key] = (self._node.now() + TRY_AGAIN_S, str(failure))
                reason = str(failure)
            else:
                self._tell(peer, "fast", "both sides have it")
                return stream
        if self._wanted is spec.Road.FAST:
            raise ToxvpnError(f"--road fast: {reason}")
        self._tell(peer, "tuntox", reason or "")
        return await self._lossless.open(peer, host, port)

    async def _until_known(self, peer: Peer) -> None:
        """Waits for what the choice depends on, both of which come within moments."""
        await self.settled.wait()
        if self.fast is None:
            return
        deadline_s = self._node.now() + STATUS_S
        while peer.online and peer.status_text is None and self._node.now() < deadline_s:
            await asyncio.sleep(0.02)

    def _objection(self, peer: Peer) -> str | None:
        """Why a stream to the peer cannot take the fast road now; None when it can."""
        if self.fast is None:
            return self.why_not_fast
        said = status.decode(peer.status_text or b"").toxvpn
        if said is None:
            return "the peer is no toxvpn"
        if not said.fast:
            return "the peer does not offer it"
        until_s, reason = self._failed.get(peer.public_key, (0.0, ""))
        return reason if self._node.now() < until_s else None

    def _tell(self, peer: Peer, road: str, why: str) -> None:
        """Once per change."""
        if self._told.get(peer.public_key) != (road, why):
            self._told[peer.public_key] = (road, why)
            log.info("peer %s: streams take the %s road: %s", peer.short, road, why)
