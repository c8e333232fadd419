"""`toxvpn -i ID`: the calling side of forwards."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial

from ..config import ClientOptions
from ..control.status import ForwardState
from ..errors import PeerOfflineError
from ..tcpforward import pipe, socks
from ..tcpforward.client import Client
from ..tcpforward.forwarding import Forwarding
from ..tcpforward.listen import Listener
from ..tcpforward.lossless import LosslessRoad
from ..wire.secret import friend_request_message
from .base import Base, base
from .control import Source, controlled

log = logging.getLogger("toxvpn")

PING_S = 60.0
"""How long `-p` waits for the peer: connecting takes 3 to 10 s, a slow network more."""


async def call(options: ClientOptions) -> None:
    async with base(options, options.directory) as run:
        forwarding = Forwarding(run.node, run.announcement, options.road)
        try:
            peer = run.node.reach(bytes(options.server), friend_request_message(options.secret))
            for other in run.node:
                if other is not peer:  # a client talks to the one it was asked to talk to
                    run.node.remove(other)
            client = Client(run.node, peer, forwarding.roads)
            if options.ping:
                run.node.start()
                await _ping(client, forwarding.lossless)
            elif options.pipe is not None:
                run.node.start()
                await pipe.run(client, options.pipe)
            else:
                await _forward(run, options, client, forwarding)
        finally:
            await forwarding.close()


async def _forward(run: Base, options: ClientOptions, client: Client, forwarding: Forwarding) -> None:
    """Until it is told to stop."""
    listeners = Listeners(options, client)
    source = Source(run, "client", forwards=lambda: listeners.states(forwarding.roads.choice(client.peer)[0]))
    try:
        async with _controlled_if_kept(run, source, forwarding):
            run.node.start()
            listeners.start()
            await run.stopping.wait()
    finally:
        await listeners.close()


@contextlib.asynccontextmanager
async def _controlled_if_kept(run: Base, source: Source, forwarding: Forwarding) -> AsyncIterator[None]:
    """Clients without -C come and go in numbers: they have no control socket."""
    if run.directory is None:
        yield
        return
    async with controlled(run, run.directory, source, forwarding.lossless):
        yield


class Listeners:
    """What -L and -D listen on. Raises ToxvpnError when one of them cannot."""

    def __init__(self, options: ClientOptions, client: Client) -> None:
        self._listeners: list[tuple[Listener, str, str]] = []
        with contextlib.ExitStack() as undo:
            for forward in options.forwards:
                listener = Listener(forward.listen, partial(client.carry, target=forward.target))
                undo.callback(listener.stop_listening)
                self._listeners.append((listener, str(forward.listen), str(forward.target)))
            for listen in options.socks:
                listener = Listener(listen, partial(socks.carry, client))
                undo.callback(listener.stop_listening)
                self._listeners.append((listener, str(listen), "socks5"))
            undo.pop_all()

    def start(self) -> None:
        for listener, listen, target in self._listeners:
            listener.start()
            log.info("listening: %s -> %s", listen, target)

    async def close(self) -> None:
        for listener, _, _ in self._listeners:
            await listener.close()

    def states(self, road: str) -> list[ForwardState]:
        return [
            ForwardState(
                listen=listen,
                target=target,
                road="fast" if road == "fast" else "tuntox",
                streams=listener.connections,
            )
            for listener, listen, target in self._listeners
        ]


async def _ping(client: Client, road: LosslessRoad) -> None:
    await client.wait_online(PING_S)
    try:
        async with asyncio.timeout(PING_S):
            rtt_s = await road.ping(client.peer)
    except TimeoutError:
        raise PeerOfflineError(f"no answer in {PING_S:.0f} s: the peer is online but no tuntox") from None
    print(f"pong from {client.peer.short} via {client.peer.connection.path} in {rtt_s * 1000:.2f} ms")  # noqa: T201
