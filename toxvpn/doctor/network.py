"""Checks the way into the Tox network: the list of nodes, and whether they answer, or the proxy does.

With a proxy nothing may bypass it, so no node is asked and no name looked up.
"""

import random
from collections.abc import Callable

from ..config.options import NodeOptions
from ..tcpforward.rules import Rules
from ..tcpforward.target import TargetRefusedError, connect_target
from ..tox.bootstrap import load_nodes
from ..tox.proxy import Proxy
from .findings import Layer
from .layers import Layers
from .nodes import ResolvedNode, check_bootstrap, resolve
from .observations import NodesSeen, ProxySeen, UdpSeen

ASKED_NODES = 12
"""The number of nodes to ask, of a longer list."""
PROXY_S = 5.0


async def check_network(
    layers: Layers, options: NodeOptions, nodes: list[ResolvedNode], path: Callable[[], str]
) -> bool | None:
    """Returns whether datagrams get through; None with a proxy. `path` returns Connection.path.

    Raises LayerFailed.
    """
    if options.proxy is not None:
        await layers.check(Layer.BOOTSTRAP, check_proxy(options.proxy))
        return None
    seen = await layers.check(Layer.BOOTSTRAP, check_bootstrap(nodes, path))
    return layers.add(UdpSeen(seen)).through


async def check_nodes(options: NodeOptions, chosen: list[ResolvedNode]) -> NodesSeen:
    """Fills `chosen` with some of the nodes and their addresses. Raises ConfigError."""
    nodes = load_nodes(options.nodes_file)
    source = str(options.nodes_file or "the built-in list")
    if options.proxy is not None:
        return NodesSeen(len(nodes), source, addresses=len(nodes))
    some = random.sample(nodes, min(len(nodes), ASKED_NODES))
    addressed, unresolved = await resolve(some)
    chosen += addressed
    return NodesSeen(len(nodes), source, unresolved, addresses=len(addressed))


async def check_proxy(proxy: Proxy) -> ProxySeen:
    try:
        connection = await connect_target(proxy.host, proxy.port, Rules(), timeout_s=PROXY_S)
    except TargetRefusedError as failure:
        return ProxySeen(str(proxy), str(failure))
    connection.close()
    return ProxySeen(str(proxy))
