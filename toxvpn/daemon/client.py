"""Runs `toxvpn -i ID`, the calling side of forwards, on a node of its own (share/ has the shared one)."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from ..config.options import ClientOptions
from ..process.lifecycle import Lifecycle
from ..report.progress import progress
from ..share.streams import PeerStreams
from ..state.places import Places, find_places
from ..tcpforward import pipe
from ..tcpforward.forwards import Destination, Forwards, ForwardState
from ..tcpforward.remote.forwards import RemoteForwards
from ..tcpforward.udp.server import DatagramServer
from ..wire import invite
from ..wire.secret import friend_request_message
from .calling import calling_node
from .node import RunningNode
from .silence import silence_told


@dataclass(slots=True)
class RunningClient:
    """A node that calls one peer; its maker starts it. `places` is None when nothing is kept on disk."""

    run: RunningNode
    streams: PeerStreams
    places: Places | None
    datagrams: DatagramServer

    @contextlib.asynccontextmanager
    async def controlled(
        self,
        forwards: Callable[[], Iterable[ForwardState]],
        give_way: Callable[[], Awaitable[bool]] | None = None,
    ) -> AsyncIterator[None]:
        """Serves a control socket if anything is kept on disk, and metrics if the run has a port for them."""
        if self.places is None and self.run.metrics_port is None:
            yield  # such clients come and go in numbers: they load nothing that they don't need
            return
        from ..control.status_reader import StatusReader
        from ..members import peers
        from .control import controlled
        from .measured import Measured

        places = self.places
        directory = None if places is None else places.runtime
        tuntox = self.streams.roads.tuntox
        measured = Measured(self.run.node, self.run.prober, tuntox)
        status = StatusReader(
            self.run.node,
            "client",
            forwards=forwards,
            kept=lambda: peers.load(places.data) if places else {},
            measured=measured,
            drops_of=self.datagrams.drops,
            port_mapping=self.run.port_mapping,
        )
        async with controlled(self.run, directory, status, tuntox, measured, give_way=give_way):
            yield


async def call(options: ClientOptions, lifecycle: Lifecycle) -> None:
    """Ping, pipe or forward, as the options say. Raises ToxvpnError, LinkError."""
    async with running_client(options, lifecycle) as client:
        if options.ping:
            client.run.node.start()
            print(await client.streams.ping())  # noqa: T201
        elif options.speed is not None:
            client.run.node.start()
            tell = options.speed.tell
            tell(await client.streams.speed(options.speed.seconds, tell))
        elif options.pipe is not None:
            client.run.node.start()
            await pipe.run(client.streams.caller, options.pipe)
        else:
            await _forward(options, client)


@contextlib.asynccontextmanager
async def running_client(options: ClientOptions, lifecycle: Lifecycle) -> AsyncIterator[RunningClient]:
    """Makes what -P, -L, -R, -D PORT and -p need. Raises ToxvpnError."""
    kept = options.directory is not None or options.kept
    places = find_places(options.directory) if kept else None
    data = places.data if places else None
    async with calling_node(options, data, lifecycle, options.road) as calling:
        node = calling.run.node
        node.name_of = {options.server.public_key: options.name}.get
        peer = node.reach(bytes(options.server), _friend_request(options))
        for other in node:
            if other is not peer:  # a client talks to this peer alone
                node.remove(other)
        caller = calling.callers.get(peer.public_key)
        run = calling.run
        streams = PeerStreams(caller, calling.roads, calling.builtins, run.stopping, run.loss)
        with silence_told(node, peer, let_in=bool(options.secret or options.invite)):
            yield RunningClient(run, streams, places, calling.datagrams)


def _friend_request(options: ClientOptions) -> bytes:
    if options.invite is not None and time.time() < options.invite.expires:
        return invite.request_message(options.invite.secret)
    return friend_request_message(options.secret)


async def _forward(options: ClientOptions, client: RunningClient) -> None:
    """Forwards until `stopping` is set. Raises ToxvpnError when the peer may not listen for us."""
    streams = client.streams
    forwards = Forwards(streams.choice)
    remotes = RemoteForwards(streams.builtins, streams.choice, partial(print, flush=True))
    try:
        for listen, target in options.listens:
            forwards.add(str(listen), listen, Destination(streams.caller, target))
        async with client.controlled(lambda: [*forwards.states(), *remotes.states()]):
            client.run.node.start()
            forwards.start()
            remotes.start({(None, each): streams.caller for each in options.remotes}, keep_trying=False)
            client.run.lifecycle.ready()
            peer = streams.caller.peer
            with progress(client.run.node, lambda: {peer.public_key: peer.short}):
                await remotes.until_refused(client.run.stopping)
    finally:
        await remotes.close()
        await forwards.close()
