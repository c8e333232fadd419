"""Chooses the road of a stream: the fast one where both sides have it and it works, else tuntox's.

In: what the peer's status message offers, what our own stack can do, how the last try went. Out: an
open stream, and for log and status the road's name and the reason. `--road` pins the choice.
"""

import asyncio
import logging
from typing import Literal

from ..errors import PeerOfflineError, ToxvpnError
from ..tox.node import Node
from ..tox.peer import Peer
from ..wire import statusmessage
from ..wire.socks5 import ReplyCode
from .fast.road import FastRoad, RoadBrokenError
from .fast.stack import StackUnavailableError
from .road import Stream, StreamOpenError, until_told
from .spec import RoadPolicy
from .tuntox.road import TuntoxRoad

log = logging.getLogger("toxvpn.tcpforward")

TRY_AGAIN_S = 60.0
"""Between two probes of a peer whose stack could not be reached; streams do not wait for them."""
PATIENCE_S = 1.0
"""A peer's stack answers sooner. If not, the tuntox road is pinged, and has as long again to answer."""
NEITHER_S = 30.0
"""Time limit for a peer that is online and answers on neither road: its path may be changing."""
BOTH_HAVE_IT = "both sides have it"
NOT_OFFERED = "the peer does not offer the fast road"

RoadChoice = tuple[Literal["fast", "tuntox"], str]
"""The name of the road, and the reason."""


class RoadChooser:
    """A `road.Road` that takes one of the two for each stream.

    Its owner reports whether there is a private stack: `stack_is_up`, `no_stack`.
    """

    name = "auto"

    def __init__(self, node: Node, tuntox: TuntoxRoad, wanted: RoadPolicy) -> None:
        self.fast: FastRoad | None = None
        self.why_not_fast = "the private stack is not up yet"
        self.settled = asyncio.Event()  # whether there is a stack is known
        self._node = node
        self._tuntox = tuntox
        self._wanted = wanted
        self._broken: dict[bytes, str] = {}  # peers that the fast road does not lead to now, and why
        self._probes: set[asyncio.Task[None]] = set()
        self._logged: dict[bytes, tuple[str, str]] = {}
        if wanted is RoadPolicy.TUNTOX:
            self.no_stack("--road tuntox")

    async def close(self) -> None:
        probes = list(self._probes)
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    def stack_is_up(self, fast: FastRoad) -> None:
        self.fast = fast
        self.settled.set()

    def no_stack(self, reason: str) -> None:
        self.fast = None
        self.why_not_fast = reason
        self.settled.set()

    def choice(self, peer: Peer) -> RoadChoice:
        """The road that a stream would take now, and why."""
        reason = self._objection(peer)
        return ("fast", BOTH_HAVE_IT) if reason is None else ("tuntox", reason)

    async def open(self, peer: Peer, host: str, port: int) -> Stream:
        """Raises StreamOpenError, PeerOfflineError; with --road fast also when that road cannot be had."""
        await self._until_known(peer)
        reason = self._objection(peer)
        if reason is None and self.fast is not None:
            try:
                stream = await self._open_fast(self.fast, peer, host, port)
            except (RoadBrokenError, StackUnavailableError) as failure:
                reason = str(failure)
                self._avoid(peer, reason)
            else:
                self._log_choice(peer, "fast", BOTH_HAVE_IT)
                return stream
        if self._wanted is RoadPolicy.FAST:
            raise ToxvpnError(f"--road fast: {reason}")
        self._log_choice(peer, "tuntox", reason or "")
        return await self._tuntox.open(peer, host, port)

    async def fast_road(self, peer: Peer) -> FastRoad:
        """Raises ToxvpnError."""
        await self._until_known(peer)
        reason = self._objection(peer)
        if reason is not None or self.fast is None:
            raise ToxvpnError(f"UDP needs the fast road: {reason}")
        return self.fast

    async def _until_known(self, peer: Peer) -> None:
        """Waits until our stack and the peer's status message are known, which takes moments."""
        await self.settled.wait()
        if self.fast is None:
            return
        await until_told(self._node, peer)

    async def _open_fast(self, fast: FastRoad, peer: Peer, host: str, port: int) -> Stream:
        """As FastRoad.open, but raises RoadBrokenError only if the tuntox road works.

        For seconds after a change of path, toxcore may send to an address that the peer does not know us by.
        """
        deadline_s = self._node.now() + NEITHER_S
        while True:
            tuntox_works = asyncio.create_task(self._tuntox_works(peer))
            try:
                return await fast.open(peer, host, port)
            except RoadBrokenError:
                if await tuntox_works:
                    raise
                if self._node.now() >= deadline_s:
                    text = f"the peer has answered on neither road for {NEITHER_S:g} s"
                    raise StreamOpenError(ReplyCode.TIMED_OUT, text) from None
            finally:
                tuntox_works.cancel()

    async def _tuntox_works(self, peer: Peer) -> bool:
        await asyncio.sleep(PATIENCE_S)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._tuntox.ping(peer)
        except (TimeoutError, PeerOfflineError):
            return False
        return True

    def _objection(self, peer: Peer) -> str | None:
        """The reason why a stream to the peer cannot take the fast road now; None if it can."""
        if self.fast is None:
            return self.why_not_fast
        status = statusmessage.decode(peer.status_text or b"").toxvpn
        if status is None:
            return "the peer is not a toxvpn"
        if not status.fast:
            return NOT_OFFERED
        return self._broken.get(peer.public_key)

    def _avoid(self, peer: Peer, reason: str) -> None:
        """Makes streams to the peer take the tuntox road until its stack answers again."""
        if peer.public_key not in self._broken:
            probe = asyncio.create_task(self._probe_until_answered(peer))
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)
        self._broken[peer.public_key] = reason

    async def _probe_until_answered(self, peer: Peer) -> None:
        answered = False
        try:
            while not answered and self._node.peer(peer.public_key) is peer:
                await asyncio.sleep(TRY_AGAIN_S)
                answered = await self._probe(peer)
        finally:
            del self._broken[peer.public_key]

    async def _probe(self, peer: Peer) -> bool:
        if self.fast is None or not peer.online:
            return False
        try:
            await self.fast.probe(peer)
        except ToxvpnError as failure:
            log.debug("peer %s: %s", peer.short, failure)
            return False
        return True

    def _log_choice(self, peer: Peer, road: str, why: str) -> None:
        """Logs the choice, once per change."""
        if self._logged.get(peer.public_key) != (road, why):
            self._logged[peer.public_key] = (road, why)
            peer.log(log, logging.INFO, "streams take the %s road: %s", road, why)
