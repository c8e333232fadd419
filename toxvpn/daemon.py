"""The composition root: makes every part from the options, starts them in order, stops them in reverse."""

import asyncio
import contextlib
import logging
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from ._native import netio
from .config import ClientOptions, NodeOptions, ServerOptions
from .errors import PeerOfflineError, ToxvpnError
from .tcpforward import pipe, socks
from .tcpforward.client import Client
from .tcpforward.forwarding import Forwarding
from .tcpforward.listen import Listener
from .tcpforward.lossless import LosslessRoad
from .tcpforward.rules import Rules, load_rules
from .tcpforward.server import Server
from .tcpforward.spec import Road
from .tox.admission import Admission
from .tox.announcement import Announcement
from .tox.birth import make_tox
from .tox.bootstrap import Bootstrapper, load_nodes
from .tox.files import write_atomic
from .tox.friends import Authority, FriendBook
from .tox.friends import load as load_book
from .tox.identity import Identity
from .tox.keeper import Keeper
from .tox.names import Names
from .tox.node import Node
from .tox.places import find_places
from .tox.secretfile import SECRET_NAME, kept_secret
from .wire.secret import friend_request_message

log = logging.getLogger("toxvpn")

PING_S = 60.0
"""How long `-p` waits for the peer: connecting takes 3 to 10 s, a slow network more."""


def run_server(options: ServerOptions) -> int:
    """`toxvpn` alone, until a signal; the exit code. Raises ToxvpnError."""
    return _run(serve(options))


def run_client(options: ClientOptions) -> int:
    """`toxvpn -i ID` with -L, -D PORT, -P or -p; the exit code. Raises ToxvpnError, LinkError from -P."""
    return _run(call(options))


async def serve(options: ServerOptions) -> None:
    rules = load_rules(options.rules_file) if options.rules_file else Rules()
    directory = options.directory or find_places(None).data
    async with running_node(options, directory) as started:
        authority = _authority(options, directory)
        admission = Admission(started.node, authority, started.book, started.keeper.changed, time.time)
        forwarding = Forwarding(started.node, started.announcement, Road.AUTO, Server(rules).serve)
        admission.start()
        started.node.start()
        _tell_how_to_connect(started.node, options, directory, authority)
        try:
            await asyncio.Event().wait()
        finally:
            await forwarding.close()


async def call(options: ClientOptions) -> None:
    async with running_node(options, options.directory) as started:
        forwarding = Forwarding(started.node, started.announcement, options.road)
        peer = started.node.reach(bytes(options.server), friend_request_message(options.secret))
        for other in started.node:
            if other is not peer:  # a client talks to the one it was asked to talk to
                started.node.remove(other)
        client = Client(started.node, peer, forwarding.roads)
        listeners = _listeners(options, client)
        started.node.start()
        try:
            if options.ping:
                await _ping(client, forwarding.lossless)
            elif options.pipe is not None:
                await pipe.run(client, options.pipe)
            else:
                for listener in listeners:
                    listener.start()
                await asyncio.Event().wait()
        finally:
            for listener in listeners:
                await listener.close()
            await forwarding.close()


class Started:
    """A node and what keeps it."""

    def __init__(self, node: Node, identity: Identity, directory: Path | None) -> None:
        self.node = node
        self.announcement = Announcement(node)
        self.book = FriendBook() if directory is None else load_book(directory)
        self.keeper = Keeper(node, identity, self.book, directory)


@contextlib.asynccontextmanager
async def running_node(options: NodeOptions, directory: Path | None) -> AsyncIterator[Started]:
    """A node that is not started yet, with its identity locked; closed and saved at the end."""
    nodes = load_nodes(options.nodes_file)
    with contextlib.ExitStack() as undo:
        identity = Identity.ephemeral() if directory is None else Identity.open(directory)
        undo.callback(identity.close)
        tox = make_tox(
            identity, random.SystemRandom(), options.udp_ports, options.tcp_port, options.toxcore_log
        )
        undo.callback(tox.close)
        identity.save(tox.savedata())
        if options.id_file is not None:
            write_atomic(options.id_file, tox.address.hex().upper().encode() + b"\n", 0o644)
        resolve = Names(asyncio.get_running_loop()).resolve
        node = Node(tox, Bootstrapper(nodes, random.SystemRandom(), resolve))
        undo.callback(node.close)
        started = Started(node, identity, directory)
        undo.callback(started.keeper.close)
        yield started


def _authority(options: ServerOptions, directory: Path) -> Authority:
    secret = options.secret
    if secret is None and not options.whitelist and not options.open:
        secret = kept_secret(directory)[0]
    if options.open:
        log.warning("--open: everybody who knows the Tox ID can reach what this machine can reach")
    return Authority(whitelist=options.whitelist, secret=secret, open=options.open)


def _tell_how_to_connect(node: Node, options: ServerOptions, directory: Path, authority: Authority) -> None:
    """The Tox ID on stdout, the command for the other side on stderr; a secret of ours only to a person."""
    tox_id = node.tox.address.hex().upper()
    print(tox_id, flush=True)  # noqa: T201
    secret = ""
    if options.secret is not None:
        secret = "TOXVPN_SHARED_SECRET=(the secret) "
    elif authority.secret is not None:  # made by us: shown to a person, but not to a log
        kept = authority.secret.decode() if sys.stderr.isatty() else f"$(cat {directory / SECRET_NAME})"
        secret = f"TOXVPN_SHARED_SECRET={kept} "
    log.info("on the other side: %stoxvpn -i %s -L 2222:localhost:22", secret, tox_id)


def _listeners(options: ClientOptions, client: Client) -> list[Listener]:
    listeners: list[Listener] = []
    try:
        for forward in options.forwards:
            listeners.append(Listener(forward.listen, partial(client.carry, target=forward.target)))
            log.info("listening: %s", forward)
        for listen in options.socks:
            listeners.append(Listener(listen, partial(socks.carry, client)))
            log.info("listening: SOCKS5 on %s", listen)
    except ToxvpnError:
        for listener in listeners:
            for bound in listener.sockets:
                bound.close()
        raise
    return listeners


async def _ping(client: Client, road: LosslessRoad) -> None:
    await client.wait_online(PING_S)
    try:
        async with asyncio.timeout(PING_S):
            rtt_s = await road.ping(client.peer)
    except TimeoutError:
        raise PeerOfflineError(f"no answer in {PING_S:.0f} s: the peer is online but no tuntox") from None
    print(f"pong from {client.peer.short} via {client.peer.connection.path} in {rtt_s * 1000:.2f} ms")  # noqa: T201


def _run(work: Coroutine[Any, Any, None]) -> int:
    netio.harden()  # keys are in this memory: no core dumps, no tracing by others
    return asyncio.run(_until_signal(work))


async def _until_signal(work: Coroutine[Any, Any, None]) -> int:
    """The exit code: 0 when `work` ends by itself, 128 + n when signal n cancelled it."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    caught: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        caught.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not caught:
            raise
        log.info("stopped by %s", caught[0].name)
        return 128 + caught[0]
    return 0
