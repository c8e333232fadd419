"""Everything that forwards need of one node: both roads, the choice between them, the private stack.

Made by the daemon. `chooser` is what callers open streams with; `serve` None: nothing is served.
"""

import asyncio
import contextlib
import logging
from functools import partial

from ..tox.events import Event, PeerRemoved
from ..tox.node import Node
from ..tox.ownstatus import OwnStatus
from ..tox.peer import Peer
from ..wire.addressing import overlay_ipv6
from .choice import RoadChooser
from .fast import patience, questions
from .fast.path import FastPath
from .fast.road import FastRoad
from .fast.segments import Segments
from .fast.server import FastServer
from .fast.stack import FORWARD_PORT, Stack, StackUnavailableError
from .relay import Relay
from .server import Serve
from .spec import RoadPolicy
from .tuntox.road import TuntoxRoad

log = logging.getLogger("toxvpn.tcpforward")

NEW_STACK_S = 60.0
"""Between two tries to start a private stack; twice as long after each failure, ..."""
LONGEST_WAIT_S = 3600.0
"""... up to this: what a machine does not allow it seldom allows later."""


class Roads:
    """The roads of one node, from construction; the fast road follows as soon as its stack is up (0.3 s).

    `when_asked`: the stack is made by the first `start`, before which no stream is opened. `mostly_calls`:
    the log says why there is no fast road only when a stream is opened. `keep_s`: how long streams of the
    fast road wait for an answer.
    """

    def __init__(
        self,
        node: Node,
        own_status: OwnStatus,
        wanted: RoadPolicy,
        serve: Serve | None = None,
        *,
        when_asked: bool = False,
        mostly_calls: bool = False,
        keep_s: int = patience.DEFAULT_S,
    ) -> None:
        self.tuntox = TuntoxRoad(node, serve)
        self.chooser = RoadChooser(node, self.tuntox, wanted)
        self._node = node
        self._own_status = own_status
        self._serve = serve
        self._mostly_calls = mostly_calls
        self._wanted = wanted
        self._keep_s = keep_s
        self._stack_task: asyncio.Task[None] | None = None
        if not when_asked:
            self.start()

    def start(self) -> None:
        """Idempotent."""
        if self._stack_task is None and self._wanted is not RoadPolicy.TUNTOX:
            self._stack_task = asyncio.create_task(self._keep_a_stack())

    def segments(self, peer: Peer) -> dict[int, Segments]:
        """What the open streams of the fast road, to and from the peer, have sent, by descriptor."""
        return {} if self.chooser.fast is None else self.chooser.fast.segments(peer)

    async def close(self) -> None:
        """Resets every stream and takes the stack down."""
        await self.chooser.close()
        if self._stack_task is not None:
            self._stack_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._stack_task
        await self.tuntox.close()

    async def _keep_a_stack(self) -> None:
        """Keeps a stack: starts another one when it is lost or could not be started."""
        wait_s = NEW_STACK_S
        while True:
            try:
                await self._run_stack()
                wait_s = NEW_STACK_S
            except StackUnavailableError as failure:
                self._on_no_stack(str(failure))
            except Exception:  # the tuntox road goes on
                log.exception("the fast road failed")
                self._on_no_stack("an error of toxvpn itself")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _on_no_stack(self, reason: str) -> None:
        """Logs each reason once where peers are served; where streams are opened, the chooser logs it."""
        if self._serve and not self._mostly_calls and reason != self.chooser.why_not_fast:
            log.info("no fast road: %s", reason)
        self.chooser.no_stack(reason)

    async def _run_stack(self) -> None:
        """Runs one stack until it is lost. Raises StackUnavailableError."""
        stack = await Stack.start(overlay_ipv6(self._node.tox.public_key), self._keep_s)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(stack.close)
            path = FastPath(self._node, stack)
            undo.callback(path.close)
            relay = Relay()
            undo.callback(relay.close)  # resets its streams
            for on_event in (partial(_on_event, relay), partial(questions.on_event, relay, stack.address)):
                self._node.subscribe(on_event)
                undo.callback(self._node.unsubscribe, on_event)
            if self._serve is not None:
                listener = await stack.listen(FORWARD_PORT)
                server = FastServer(listener, path.peer_at, self._serve, relay)
                undo.push_async_callback(server.close)
            self.chooser.stack_is_up(FastRoad(stack, relay))
            self._own_status.set(fast=self._serve is not None)
            undo.callback(self._own_status.set, fast=False)
            reason = await asyncio.shield(stack.lost)
            self.chooser.no_stack(reason)
            log.warning("the private stack is lost, its streams are reset: %s", reason)


def _on_event(relay: Relay, event: Event) -> None:
    """Resets the streams of a peer that is none any more; for one that is away they wait (patience.py)."""
    if isinstance(event, PeerRemoved) and (count := relay.reset(event.peer, "the peer was removed")):
        log.info("peer %s was removed, its streams are reset: %d", event.peer.short, count)
