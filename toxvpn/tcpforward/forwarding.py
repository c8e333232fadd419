"""Everything that forwards need of one node: both roads, the choice, and the private stack's life.

Made by the daemon. `roads` is what clients open streams with; `serve` None: nothing is served.
"""

import asyncio
import contextlib
import logging

from ..tox.announcement import Announcement
from ..tox.node import Node
from ..wire.addressing import overlay_ipv6
from .fast import FastRoad, Serve
from .lossless import LosslessRoad
from .relay import Relay
from .roads import TRY_AGAIN_S, Roads
from .spec import Road
from .stack import Stack, StackUnavailableError

log = logging.getLogger("toxvpn.tcpforward")


class Forwarding:
    """Starts with its construction; the fast road follows as soon as its stack is up (0.3 s)."""

    def __init__(
        self, node: Node, announcement: Announcement, wanted: Road, serve: Serve | None = None
    ) -> None:
        self.lossless = LosslessRoad(node, serve)
        self.roads = Roads(node, self.lossless, wanted)
        self._node = node
        self._announcement = announcement
        self._serve = serve
        self._relay = Relay()
        self._life = asyncio.create_task(self._live()) if wanted is not Road.TUNTOX else None

    async def close(self) -> None:
        """Resets every stream and takes the stack down."""
        if self._life is not None:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
        await self.lossless.close()
        self._relay.close()

    async def _live(self) -> None:
        """A stack, and another one when it is lost."""
        while True:
            try:
                stack = await Stack.start(overlay_ipv6(self._node.tox.public_key))
            except StackUnavailableError as failure:
                log.info("no fast road: %s", failure)
                self.roads.no_stack(str(failure))
                return
            try:
                await self._with(stack)
            finally:
                await stack.close()
            await asyncio.sleep(TRY_AGAIN_S)

    async def _with(self, stack: Stack) -> None:
        fast = FastRoad(self._node, stack, self._relay, self._serve)
        try:
            await fast.start()
            self.roads.stack_is_up(fast)
            self._announcement.set(fast=self._serve is not None)
            reason = await asyncio.shield(stack.lost)
            log.warning("the private stack is lost: %s", reason)
            self.roads.no_stack(reason)
            self._announcement.set(fast=False)
        finally:
            await fast.close()
