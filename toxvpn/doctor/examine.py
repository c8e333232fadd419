"""`toxvpn doctor`: looks at one layer after the other until one fails.

In: DoctorOptions. Out: a finding at a time, and the report of all; observations.py judges what is seen.
It makes a node of its own and keeps nothing: an identity on disk is used as it is, and never written.
Where a daemon runs that knows the peer, running.py asks that one instead.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

from .. import __version__
from .._native.net import netio
from .._native.results import Connection
from ..members.known import ConfiguredPeer
from ..state.identity import Identity
from ..tcpforward.choice import STATUS_S
from ..tcpforward.fast.road import RoadBrokenError
from ..tcpforward.fast.stack import Stack, StackUnavailableError
from ..tcpforward.forwarding import Forwarding
from ..tcpforward.road import StreamOpenError
from ..tcpforward.spec import RoadPolicy, Target
from ..tox import danger
from ..tox.announcement import Announcement
from ..tox.bootstrap import Bootstrapper, load_nodes
from ..tox.handle import make_tox
from ..tox.node import Node
from ..tox.peer import Peer
from ..tox.probing import PathProber
from ..tox.resolver import Names
from ..wire import status
from ..wire.addressing import overlay_ipv6
from ..wire.ip import vpn_mtu
from ..wire.secret import friend_request_message
from .layers import Stopped, Walk, until
from .network import the_list, way_in
from .nodes import Addressed
from .observations import (
    Finding,
    FriendRequestSeen,
    Layer,
    LibrarySeen,
    OwnStatusSeen,
    PathSeen,
    PrivateStackSeen,
    ProtocolSeen,
    Report,
    RoadSeen,
    TargetSeen,
    report,
)
from .options import DoctorOptions
from .running import ask_running

UPGRADE_S = 5.0
"""toxcore is often on the network over a relay first, and over UDP a moment later."""
DIRECT_S = 25.0
"""Punching a hole through two NATs takes up to so long."""
PING_S = 10.0
SEARCH_S = STATUS_S + 6.0
"""The path's MTU is found within 4 s of the peer's status message."""


def run_doctor(options: DoctorOptions, tell: Callable[[Finding], None]) -> Report:
    """Takes from a few seconds to minutes; Ctrl-C ends it."""
    netio.harden()  # the secret is in this memory
    return asyncio.run(examine(options, tell))


async def examine(options: DoctorOptions, tell: Callable[[Finding], None]) -> Report:
    """Walks as far as it goes; `tell` hears of every finding at once."""
    walk = Walk(tell)
    with contextlib.suppress(Stopped):
        await walk.look(Layer.LIBRARY, library(options))
        await walk.look(Layer.PRIVATE_STACK, private_stack())
        nodes: list[Addressed] = []
        await walk.look(Layer.NODES, the_list(options, nodes))
        if options.runtime is None:
            await with_own_node(walk, options, nodes)
        else:
            await ask_running(walk, options, options.runtime, nodes)
    return report(walk.findings, not_asked(options))


def not_asked(options: DoctorOptions) -> dict[Layer, str]:
    """Why layers were not looked at, but for a failure below them."""
    reasons: dict[Layer, str] = {}
    if options.proxy is not None:
        reasons[Layer.UDP] = "all goes through the proxy"
    if options.runtime is None:
        reasons[Layer.VPN] = "only where `toxvpn up` runs, and knows the peer"
    else:
        for layer in (Layer.ROAD, Layer.TARGET):
            reasons[layer] = "only with a node of its own: stop the running toxvpn and ask again"
    if options.target is None:
        reasons[Layer.TARGET] = "no --target was given"
    if options.peer is None:
        layers = (Layer.FRIEND_REQUEST, Layer.PATH, Layer.PROTOCOL, Layer.VPN, Layer.ROAD, Layer.TARGET)
        reasons |= dict.fromkeys(layers, "no peer was given")
    return reasons


# -- this machine ---------------------------------------------------------------------------------


async def library(options: DoctorOptions) -> LibrarySeen:
    hooks = netio.hooks()._asdict()
    return LibrarySeen(
        toxvpn=__version__,
        libtoxcore=danger.libtoxcore(),
        shield=danger.shield(),
        exposed=danger.exposed() is not None,
        off={name.replace("_", " "): hook.reason for name, hook in hooks.items() if not hook.in_force},
        bad_segmentation=danger.bad_segmentation(),
        segmentation=danger.segmentation(options.udp_segmentation),
    )


async def private_stack() -> PrivateStackSeen:
    try:
        stack = await Stack.start(overlay_ipv6(bytes(32)))
    except StackUnavailableError as failure:
        return PrivateStackSeen(str(failure))
    await stack.close()
    return PrivateStackSeen(None)


# -- the network ----------------------------------------------------------------------------------


async def with_own_node(walk: Walk, options: DoctorOptions, nodes: list[Addressed]) -> None:
    async with own_node(options) as node:
        announcement = Announcement(node)
        prober = PathProber(node, announcement)
        forwarding = Forwarding(node, announcement, RoadPolicy.AUTO)
        try:
            peer = None if options.peer is None else ask_in(node, options.peer, options.secret)
            node.start()  # at once: while nodes are asked, connecting has begun
            udp = await way_in(walk, options, nodes, lambda: node.connection.path)
            await walk.look(Layer.OWN_STATUS, own_status(node, udp, options.timeout_s))
            if peer is not None:
                await look_at_peer(walk, options, forwarding, prober, peer, udp)
        finally:
            await forwarding.close()
            prober.close()


@contextlib.asynccontextmanager
async def own_node(options: DoctorOptions) -> AsyncIterator[Node]:
    """With the identity in `options.directory`, held meanwhile and never written, or with a passing one."""
    nodes = load_nodes(options.nodes_file)
    chance = random.SystemRandom()
    with contextlib.ExitStack() as undo:
        identity = Identity.ephemeral() if options.directory is None else Identity.open(options.directory)
        undo.callback(identity.close)
        tox = make_tox(
            identity,
            chance,
            tell_all=options.toxcore_log,
            proxy=options.proxy,
            udp_segmentation=options.udp_segmentation,
        )
        undo.callback(tox.close)
        resolve = None if options.proxy else Names(asyncio.get_running_loop()).resolve
        node = Node(tox, Bootstrapper(nodes, chance, resolve))
        undo.callback(node.close)
        yield node


def ask_in(node: Node, peer: ConfiguredPeer, secret: bytes | None) -> Peer:
    """Asks the peer to let us in, as a client does; an invite is left for who shall use it."""
    if peer.tox_id is None:
        return node.accept(peer.public_key)
    return node.reach(bytes(peer.tox_id), friend_request_message(secret))


async def own_status(node: Node, udp: bool | None, timeout_s: float) -> OwnStatusSeen:
    await until(lambda: node.connection is not Connection.NONE, timeout_s)
    if udp:
        await until(lambda: node.connection is Connection.UDP, UPGRADE_S)
    return OwnStatusSeen(node.connection.path, timeout_s)


# -- the peer -------------------------------------------------------------------------------------


async def look_at_peer(
    walk: Walk,
    options: DoctorOptions,
    forwarding: Forwarding,
    prober: PathProber,
    peer: Peer,
    udp: bool | None,
) -> None:
    assert options.peer is not None
    await walk.look(Layer.FRIEND_REQUEST, friend_request(options, options.peer, peer))
    await walk.look(Layer.PATH, path(prober, peer, udp))
    await walk.look(Layer.PROTOCOL, protocol(forwarding, peer))
    await walk.look(Layer.ROAD, road(forwarding, peer))
    if options.target is not None:
        await walk.look(Layer.TARGET, target(forwarding, peer, options.target))


async def friend_request(options: DoctorOptions, configured: ConfiguredPeer, peer: Peer) -> FriendRequestSeen:
    return FriendRequestSeen(
        peer=configured.short,
        online=await until(lambda: peer.online, options.timeout_s),
        waited_s=options.timeout_s,
        asked=configured.tox_id is not None,
        secret=options.secret is not None,
    )


async def path(prober: PathProber, peer: Peer, udp: bool | None) -> PathSeen:
    if udp:
        await until(lambda: peer.connection is not Connection.TCP, DIRECT_S)
    await until(lambda: prober.settled(peer), SEARCH_S)
    return PathSeen(peer.connection.path, DIRECT_S, udp, vpn_mtu(peer.packet_bytes))


async def protocol(forwarding: Forwarding, peer: Peer) -> ProtocolSeen:
    await until(lambda: peer.status_text is not None, STATUS_S)
    ours = status.decode(peer.status_text or b"").speaks_toxvpn
    try:
        async with asyncio.timeout(PING_S):
            rtt_s = await forwarding.tuntox.ping(peer)
    except TimeoutError:
        return ProtocolSeen(toxvpn=ours)
    version = forwarding.tuntox.link(peer).tunnels.version
    return ProtocolSeen(toxvpn=ours, wire=None if version is None else int(version.name[1:]), rtt_s=rtt_s)


async def road(forwarding: Forwarding, peer: Peer) -> RoadSeen:
    chooser = forwarding.chooser
    await chooser.settled.wait()
    name, why = chooser.choice(peer)
    if name == "fast" and chooser.fast is not None:
        try:
            await chooser.fast.probe(peer)
        except (RoadBrokenError, StackUnavailableError) as failure:
            name, why = "tuntox", str(failure)
    ours = status.decode(peer.status_text or b"").speaks_toxvpn
    return RoadSeen(name=name, why=why, toxvpn=ours)


async def target(forwarding: Forwarding, peer: Peer, wanted: Target) -> TargetSeen:
    try:
        stream = await forwarding.chooser.open(peer, wanted.host, wanted.port)
    except StreamOpenError as failure:
        return TargetSeen(str(wanted), (failure.code, str(failure)))
    stream.abort()
    return TargetSeen(str(wanted))
