"""Runs `toxvpn -i ID`, the calling side of forwards, on a node of its own (share/: on a common one)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from ..config.options import ClientOptions
from ..control.status import ForwardState
from ..errors import PeerOfflineError
from ..report.progress import progress
from ..state.places import Places, find_places
from ..tcpforward import pipe
from ..tcpforward.caller import Caller
from ..tcpforward.choice import RoadChoice
from ..tcpforward.forwarding import Forwarding
from ..tox.peer import Peer
from ..wire import invite
from ..wire.secret import friend_request_message
from .forwards import Destination, Forwards
from .node import Base, base

PING_S = 60.0
"""How long `-p` waits for the peer: connecting takes 3 to 10 s, on a slow network longer."""


@dataclass(slots=True)
class RunningClient:
    """A node that calls one peer; its maker starts it. `places` is None when nothing is kept on disk."""

    run: Base
    caller: Caller
    forwarding: Forwarding
    places: Places | None

    def choice(self, peer: Peer) -> RoadChoice:
        """The road that a stream would take now, and why."""
        return self.forwarding.chooser.choice(peer)

    async def ping(self) -> str:
        """Measure the round trip; returns a line for a person. Raises PeerOfflineError."""
        peer = self.caller.peer
        await self.caller.wait_online(PING_S)
        try:
            async with asyncio.timeout(PING_S):
                rtt_s = await self.forwarding.tuntox.ping(peer)
        except TimeoutError:
            raise PeerOfflineError(
                f"no answer in {PING_S:.0f} s: the peer is online but does not run tuntox or toxvpn"
            ) from None
        return f"pong from {peer.short} via {peer.connection.path} in {rtt_s * 1000:.2f} ms"

    @contextlib.asynccontextmanager
    async def controlled(self, forwards: Callable[[], Iterable[ForwardState]]) -> AsyncIterator[None]:
        """With a control socket if anything is kept, and with metrics if the run has a port for them."""
        if self.places is None and self.run.metrics_port is None:
            yield  # such clients come and go in numbers: they load nothing that they don't need
            return
        from ..control.states import StatusReader
        from .control import controlled

        directory = None if self.places is None else self.places.runtime
        status = StatusReader(self.run.node, "client", forwards=forwards)
        async with controlled(self.run, directory, status, self.forwarding.tuntox):
            yield


async def call(options: ClientOptions) -> None:
    """Ping, pipe or forward, as the options say. Raises ToxvpnError, LinkError."""
    async with running_client(options) as client:
        if options.ping:
            client.run.node.start()
            print(await client.ping())  # noqa: T201
        elif options.pipe is not None:
            client.run.node.start()
            await pipe.run(client.caller, options.pipe)
        else:
            await _forward(options, client)


@contextlib.asynccontextmanager
async def running_client(options: ClientOptions) -> AsyncIterator[RunningClient]:
    """Makes what -P, -L, -D PORT and -p need. Raises ToxvpnError."""
    kept = options.directory is not None or options.kept
    places = find_places(options.directory) if kept else None
    async with base(options, places.data if places else None) as run:
        forwarding = Forwarding(run.node, run.announcement, options.road)
        try:
            peer = run.node.reach(bytes(options.server), _friend_request(options))
            for other in run.node:
                if other is not peer:  # a client talks to this peer alone
                    run.node.remove(other)
            yield RunningClient(run, Caller(run.node, peer, forwarding.chooser), forwarding, places)
        finally:
            await forwarding.close()


def _friend_request(options: ClientOptions) -> bytes:
    if options.invite is not None and time.time() < options.invite.expires:
        return invite.request_message(options.invite.secret)
    return friend_request_message(options.secret)


async def _forward(options: ClientOptions, client: RunningClient) -> None:
    """Forward until the run is told to stop."""
    forwards = Forwards(client.choice)
    try:
        for listen, target in options.listens:
            forwards.add(str(listen), listen, Destination(client.caller, target))
        async with client.controlled(forwards.states):
            client.run.node.start()
            forwards.start()
            client.run.life.ready()
            peer = client.caller.peer
            with progress(client.run.node, lambda: {peer.public_key: peer.short}):
                await client.run.stopping.wait()
    finally:
        await forwards.close()
