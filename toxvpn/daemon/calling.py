"""A node that calls peers, with the roads to them: a client is made of it, and a program's node (api/)."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from ..config.options import NodeOptions
from ..config.policy import NOTHING
from ..process.lifecycle import Lifecycle
from ..tcpforward.builtin import Builtins
from ..tcpforward.roads import Roads
from ..tcpforward.server import ForwardServer, Serve
from ..tcpforward.spec import RoadPolicy
from ..tcpforward.udp.server import DatagramServer
from ..wire import associations
from .callers import Callers
from .node import RunningNode, running_node


@dataclass(slots=True)
class CallingNode:
    """A node that its maker starts."""

    run: RunningNode
    roads: Roads
    builtins: Builtins
    callers: Callers
    datagrams: DatagramServer


def nothing_else(builtins: Builtins) -> Serve:
    """Serves built-in targets alone."""
    return ForwardServer(lambda _: NOTHING, builtins).serve


@contextlib.asynccontextmanager
async def calling_node(
    options: NodeOptions,
    directory: Path | None,
    lifecycle: Lifecycle,
    road: RoadPolicy,
    served: Callable[[Builtins], Serve] = nothing_else,
) -> AsyncIterator[CallingNode]:
    """`directory` as for running_node. Raises ToxvpnError."""
    async with running_node(options, directory, lifecycle) as run:
        builtins = Builtins()
        roads = Roads(
            run.node,
            run.own_status,
            road,
            served(builtins),
            mostly_calls=True,
            keep_s=run.keep_streams_s,
        )
        datagrams = DatagramServer(lambda: roads.chooser.fast, builtins)
        builtins.on_withdraw = datagrams.judge_again
        builtins.offer(associations.NAME, datagrams.builtin(builtins.leads))
        try:
            yield CallingNode(run, roads, builtins, Callers(run.node, roads.chooser), datagrams)
        finally:
            await builtins.close()
            await roads.close()
