"""Everything that forwards need of one node: both roads, the choice, and the private stack's life.

Made by the daemon. `roads` is what clients open streams with; `serve` None: nothing is served.
"""

import asyncio
import contextlib
import logging

from ..tox.announcement import Announcement
from ..tox.node import Node
from ..wire.addressing import overlay_ipv6
from .fastcall import FastRoad
from .fastpath import FastPath
from .fastserve import FastServer
from .lossless import LosslessRoad, Serve
from .relay import Relay
from .roads import TRY_AGAIN_S, Roads
from .spec import Road
from .stack import FORWARD_PORT, Stack, StackUnavailableError

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
        self._life = asyncio.create_task(self._live()) if wanted is not Road.TUNTOX else None

    async def close(self) -> None:
        """Resets every stream and takes the stack down."""
        if self._life is not None:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
        await self.lossless.close()

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
        async with contextlib.AsyncExitStack() as undo:
            path = FastPath(self._node, stack)
            undo.callback(path.close)
            relay = Relay()
            undo.callback(relay.close)  # resets its streams
            if self._serve is not None:
                listener = await stack.listen(FORWARD_PORT)
                server = FastServer(listener, path.peer_at, self._serve, relay)
                undo.push_async_callback(server.close)
            self.roads.stack_is_up(FastRoad(stack, relay))
            self._announcement.set(fast=self._serve is not None)
            reason = await asyncio.shield(stack.lost)
            log.warning("the private stack is lost, its streams are reset: %s", reason)
            self.roads.no_stack(reason)
            self._announcement.set(fast=False)
