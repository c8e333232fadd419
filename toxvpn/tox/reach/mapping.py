"""Keeps a port mapping for a node, and has its peers told of it: portmap/ and mapped.py together."""

import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator

from ..._native.results import Connection
from ...portmap.keeper import MappingKeeper
from ...wire.ratelimit import RateLimit
from ..events import Event, PeerConnection, SelfConnection
from ..node import Node
from .mapped import MappedEndpoints
from .recovery import Recovery

SWITCH = "TOXVPN_PORT_MAPPING"


@contextlib.asynccontextmanager
async def mapping(
    node: Node, recovery: Recovery, mark: int, *, wanted: bool
) -> AsyncIterator[MappingKeeper | None]:
    """From when the node is on the network to the end of the `with`; None: no mapping is wanted.

    Peers' endpoints are tried in any case. `mark` is that of toxcore's sockets (make_tox).
    """
    drops: Counter[str] = Counter()
    endpoints = MappedEndpoints(node, recovery, drops)
    port = node.tox.udp_port
    if not wanted or os.environ.get(SWITCH) == "off" or not port:  # behind a proxy there is no UDP
        yield None
        return
    losses = RateLimit(1 / 60, 3)
    keeper = MappingKeeper(port, endpoints.own_is, drops, mark)

    def on_event(event: Event) -> None:
        if isinstance(event, SelfConnection) and event.connection is not Connection.NONE:
            keeper.begin()
        elif isinstance(event, PeerConnection) and event.before is Connection.UDP and losses.take(node.now()):
            keeper.hurry()  # a router that was restarted knows of no mapping any more

    node.subscribe(on_event)
    node.after_nap.append(lambda _: keeper.hurry())
    try:
        yield keeper
    finally:
        await keeper.close()
