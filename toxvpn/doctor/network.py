"""The doctor's look at the way into the network: the list of nodes, and whether they, or the proxy, answer.

With a proxy nothing goes around it: no node is asked, and no name looked up, by us.
"""

import random
from collections.abc import Callable

from ..config.options import NodeOptions
from ..tcpforward.rules import Rules
from ..tcpforward.target import TargetRefusedError, connect_target
from ..tox.bootstrap import load_nodes
from ..tox.proxy import Proxy
from .layers import Walk
from .nodes import Addressed, look, resolve
from .observations import Layer, NodesSeen, ProxySeen, UdpSeen

ASKED_NODES = 12
"""Of a long list; so many tell enough."""
PROXY_S = 5.0


async def way_in(
    walk: Walk, options: NodeOptions, nodes: list[Addressed], path: Callable[[], str]
) -> bool | None:
    """Whether datagrams get through; None when they are not to. `path` is as `Connection.path`.

    Raises Stopped.
    """
    if options.proxy is not None:
        await walk.look(Layer.BOOTSTRAP, the_proxy(options.proxy))
        return None
    seen = await walk.look(Layer.BOOTSTRAP, look(nodes, path))
    return walk.add(UdpSeen(seen)).through


async def the_list(options: NodeOptions, chosen: list[Addressed]) -> NodesSeen:
    """Fills `chosen` with some of the nodes and their addresses. Raises ConfigError."""
    nodes = load_nodes(options.nodes_file)
    source = str(options.nodes_file or "the built-in list")
    if options.proxy is not None:
        return NodesSeen(len(nodes), source, addresses=len(nodes))
    some = random.sample(nodes, min(len(nodes), ASKED_NODES))
    addressed, unresolved = await resolve(some)
    chosen += addressed
    return NodesSeen(len(nodes), source, unresolved, addresses=len(addressed))


async def the_proxy(proxy: Proxy) -> ProxySeen:
    try:
        connection = await connect_target(proxy.host, proxy.port, Rules(), timeout_s=PROXY_S)
    except TargetRefusedError as failure:
        return ProxySeen(str(proxy), str(failure))
    connection.close()
    return ProxySeen(str(proxy))
