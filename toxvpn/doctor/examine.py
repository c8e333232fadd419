"""`toxvpn doctor`: checks one layer after the other until one fails.

In: DoctorOptions. Out: each finding at once, and the report of them all. It makes a node of its own and keeps
nothing: an identity on disk is used but never written. Where a running daemon knows the peer, running.py asks
that one instead.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

from .. import __version__
from .._native.net import netio
from .._native.results import Connection
from ..members.peers import ConfiguredPeer
from ..portmap.keeper import MappingKeeper
from ..state.identity import Identity
from ..tcpforward.fast.road import RoadBrokenError
from ..tcpforward.fast.stack import Stack, StackUnavailableError
from ..tcpforward.road import STATUS_S, StreamOpenError
from ..tcpforward.roads import Roads
from ..tcpforward.spec import RoadPolicy, Target
from ..tox import advisories
from ..tox.bootstrap import Bootstrapper, load_nodes
from ..tox.handle import make_tox
from ..tox.mtuprober import MtuProber
from ..tox.node import Node
from ..tox.ownstatus import OwnStatus
from ..tox.peer import Peer
from ..tox.reach.mapping import mapping
from ..tox.reach.recovery import Recovery
from ..tox.resolver import Names
from ..wire import statusmessage
from ..wire.addressing import overlay_ipv6
from ..wire.ip import vpn_mtu
from ..wire.secret import friend_request_message
from .findings import Finding, Layer, Report, make_report
from .layers import LayerFailed, Layers, wait_until
from .network import check_network, check_nodes
from .nodes import ResolvedNode
from .observations import NOT_ASKED, LibrarySeen, OwnStatusSeen, PortMappingSeen, PrivateStackSeen
from .options import DoctorOptions
from .peer_observations import FriendRequestSeen, PathSeen, ProtocolSeen, RoadSeen, TargetSeen
from .running import examine_running

UPGRADE_S = 5.0
"""toxcore is often connected over a relay first, and over UDP a moment later."""
DIRECT_S = 25.0
"""Punching a hole through two NATs takes up to that long."""
ROUTER_S = 8.0
"""A router that speaks none of the protocols is known for that after 6 s."""
PING_S = 10.0
SEARCH_S = STATUS_S + 6.0
"""The path's MTU is found within 4 s of the peer's status message."""


def run_doctor(options: DoctorOptions, on_finding: Callable[[Finding], None]) -> Report:
    """Takes from a few seconds to minutes; Ctrl-C ends it."""
    netio.harden()  # the secret is in this memory
    return asyncio.run(examine(options, on_finding))


async def examine(options: DoctorOptions, on_finding: Callable[[Finding], None]) -> Report:
    """Checks the layers up to the first that fails; `on_finding` gets each finding at once."""
    layers = Layers(on_finding)
    with contextlib.suppress(LayerFailed):
        await layers.check(Layer.LIBRARY, check_library(options))
        await layers.check(Layer.PRIVATE_STACK, check_private_stack())
        nodes: list[ResolvedNode] = []
        await layers.check(Layer.NODES, check_nodes(options, nodes))
        if options.runtime is None:
            await examine_with_own_node(layers, options, nodes)
        else:
            await examine_running(layers, options, options.runtime, nodes)
    return make_report(layers.findings, reasons_to_skip(options))


def reasons_to_skip(options: DoctorOptions) -> dict[Layer, str]:
    """The reasons why layers are skipped, other than a failure below them."""
    reasons: dict[Layer, str] = {}
    if options.proxy is not None:
        reasons[Layer.UDP] = "everything goes through the proxy"
    if options.runtime is None:
        reasons[Layer.VPN] = "only checked where `toxvpn up` runs and knows the peer"
    else:
        for layer in (Layer.ROAD, Layer.TARGET):
            reasons[layer] = "only checked where toxvpn does not run: stop it, and run this again"
    if options.target is None:
        reasons[Layer.TARGET] = "no --target was given"
    if options.peer is None:
        layers = (Layer.FRIEND_REQUEST, Layer.PATH, Layer.PROTOCOL, Layer.VPN, Layer.ROAD, Layer.TARGET)
        reasons |= dict.fromkeys(layers, "no peer was given")
    return reasons


# -- this machine ---------------------------------------------------------------------------------


async def check_library(options: DoctorOptions) -> LibrarySeen:
    hooks = netio.hooks()._asdict()
    return LibrarySeen(
        toxvpn=__version__,
        libtoxcore=advisories.describe_libtoxcore(),
        shield=advisories.describe_shield(),
        exposed=advisories.describe_exposure() is not None,
        off={name.replace("_", " "): hook.reason for name, hook in hooks.items() if not hook.in_force},
        bad_segmentation=advisories.describe_segmentation_flaw(),
        segmentation=advisories.choose_segmentation(options.udp_segmentation),
    )


async def check_private_stack() -> PrivateStackSeen:
    try:
        stack = await Stack.start(overlay_ipv6(bytes(32)))
    except StackUnavailableError as failure:
        return PrivateStackSeen(str(failure))
    await stack.close()
    return PrivateStackSeen(None)


# -- the network ----------------------------------------------------------------------------------


async def examine_with_own_node(layers: Layers, options: DoctorOptions, nodes: list[ResolvedNode]) -> None:
    async with own_node(options) as (node, keeper):
        status_message = OwnStatus(node)
        prober = MtuProber(node, status_message)
        roads = Roads(node, status_message, RoadPolicy.AUTO)
        try:
            peer = None if options.peer is None else request_access(node, options.peer, options.secret)
            node.start()  # first, so that it connects while the nodes are asked
            udp = await check_network(layers, options, nodes, lambda: node.connection.path)
            await layers.check(Layer.OWN_STATUS, check_own_status(node, udp, options.timeout_s))
            await layers.check(Layer.PORT_MAPPING, check_port_mapping(keeper))
            if peer is not None:
                await check_peer(layers, options, roads, prober, peer, udp)
        finally:
            await roads.close()
            prober.close()


@contextlib.asynccontextmanager
async def own_node(options: DoctorOptions) -> AsyncIterator[tuple[Node, MappingKeeper | None]]:
    """A node with the identity in `options.directory`, locked and never written, or a temporary one.

    Its port mapping goes with it, as that of a run.
    """
    nodes = load_nodes(options.nodes_file)
    chance = random.SystemRandom()
    with contextlib.ExitStack() as undo:
        identity = Identity.ephemeral() if options.directory is None else Identity.open(options.directory)
        undo.callback(identity.close)
        tox = make_tox(
            identity,
            chance,
            toxcore_log=options.toxcore_log,
            proxy=options.proxy,
            udp_segmentation=options.udp_segmentation,
            lan_discovery=options.lan_discovery,
        )
        undo.callback(tox.close)
        resolve = None if options.proxy else Names(asyncio.get_running_loop()).resolve
        node = Node(tox, Bootstrapper(nodes, chance, resolve))
        undo.callback(node.close)
        recovery = Recovery(node)
        undo.callback(recovery.close)
        async with mapping(node, recovery, 0, wanted=options.port_mapping) as keeper:
            yield node, keeper


def request_access(node: Node, peer: ConfiguredPeer, secret: bytes | None) -> Peer:
    """Asks the peer to let us in, as a client does. An invite is not used, for that would use it up."""
    if peer.tox_id is None:
        return node.accept(peer.public_key)
    return node.reach(bytes(peer.tox_id), friend_request_message(secret))


async def check_own_status(node: Node, udp: bool | None, timeout_s: float) -> OwnStatusSeen:
    await wait_until(lambda: node.connection is not Connection.NONE, timeout_s)
    if udp:
        await wait_until(lambda: node.connection is Connection.UDP, UPGRADE_S)
    return OwnStatusSeen(node.connection.path, timeout_s)


async def check_port_mapping(keeper: MappingKeeper | None) -> PortMappingSeen:
    if keeper is None:
        return PortMappingSeen(problem=NOT_ASKED)
    await wait_until(lambda: keeper.settled, ROUTER_S)
    state = keeper.state
    endpoint = None if state.outer is None else "{}:{}".format(*state.outer)
    return PortMappingSeen(endpoint, state.protocol, state.problem)


# -- the peer -------------------------------------------------------------------------------------


async def check_peer(
    layers: Layers,
    options: DoctorOptions,
    roads: Roads,
    prober: MtuProber,
    peer: Peer,
    udp: bool | None,
) -> None:
    assert options.peer is not None
    await layers.check(Layer.FRIEND_REQUEST, check_friend_request(options, options.peer, peer))
    await layers.check(Layer.PATH, check_path(prober, peer, udp))
    await layers.check(Layer.PROTOCOL, check_protocol(roads, peer))
    await layers.check(Layer.ROAD, check_road(roads, peer))
    if options.target is not None:
        await layers.check(Layer.TARGET, check_target(roads, peer, options.target))


async def check_friend_request(
    options: DoctorOptions, configured: ConfiguredPeer, peer: Peer
) -> FriendRequestSeen:
    return FriendRequestSeen(
        peer=configured.short,
        online=await wait_until(lambda: peer.online, options.timeout_s),
        waited_s=options.timeout_s,
        asked=configured.tox_id is not None,
        secret=options.secret is not None,
    )


async def check_path(prober: MtuProber, peer: Peer, udp: bool | None) -> PathSeen:
    if udp:
        await wait_until(lambda: peer.connection is not Connection.TCP, DIRECT_S)
    await wait_until(lambda: prober.settled(peer), SEARCH_S)
    return PathSeen(peer.connection.path, DIRECT_S, udp, vpn_mtu(peer.packet_bytes))


async def check_protocol(roads: Roads, peer: Peer) -> ProtocolSeen:
    await wait_until(lambda: peer.status_text is not None, STATUS_S)
    ours = statusmessage.decode(peer.status_text or b"").speaks_toxvpn
    try:
        async with asyncio.timeout(PING_S):
            rtt_s = await roads.tuntox.ping(peer)
    except TimeoutError:
        return ProtocolSeen(toxvpn=ours)
    version = roads.tuntox.link(peer).tunnels.version
    return ProtocolSeen(toxvpn=ours, wire=None if version is None else int(version.name[1:]), rtt_s=rtt_s)


async def check_road(roads: Roads, peer: Peer) -> RoadSeen:
    chooser = roads.chooser
    await chooser.settled.wait()
    name, why = chooser.choice(peer)
    if name == "fast" and chooser.fast is not None:
        try:
            await chooser.fast.probe(peer)
        except (RoadBrokenError, StackUnavailableError) as failure:
            name, why = "tuntox", str(failure)
    ours = statusmessage.decode(peer.status_text or b"").speaks_toxvpn
    return RoadSeen(name=name, why=why, toxvpn=ours)


async def check_target(roads: Roads, peer: Peer, wanted: Target) -> TargetSeen:
    try:
        stream = await roads.chooser.open(peer, wanted.host, wanted.port)
    except StreamOpenError as failure:
        return TargetSeen(str(wanted), (failure.code, str(failure)))
    stream.abort()
    return TargetSeen(str(wanted))
