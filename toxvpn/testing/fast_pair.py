"""Both sides of the fast road in one process: two nodes in memory, real private stacks, and no Tox.

Program -> Listener -> Caller -> RoadChooser ~ FastServer -> Program. Lossy packets go straight from
datapath to datapath; while the network in memory is offline, each side knows that the other is.
"""

import asyncio
from contextlib import ExitStack
from typing import Self, cast
from unittest.mock import patch

from .._native.path.toxcarrier import ToxCarrier
from .._native.toxcore import Tox
from ..tcpforward.builtin import Builtins
from ..tcpforward.caller import Caller
from ..tcpforward.fast import path as path_module
from ..tcpforward.roads import Roads
from ..tcpforward.rules import Rules, parse_rules
from ..tcpforward.server import ForwardServer
from ..tcpforward.spec import RoadPolicy
from ..tcpforward.udp.server import DatagramServer
from ..tox.node import Node
from ..tox.ownstatus import OwnStatus
from ..wire import associations
from .fake_nodes import until
from .forward_pair import Programs
from .memory_carrier import MemoryCarrier

TURN_S = 0.001
STRANGER = 99


class FastPair(Programs):
    """A client, and a server that allows all of 127.0.0.1, or what is `allowed`. An async context manager.

    `when_asked`: the server has no stack before a built-in target is asked for.
    """

    def __init__(self, wanted: RoadPolicy = RoadPolicy.AUTO, *, when_asked: bool = False) -> None:
        super().__init__()
        self._wanted = wanted
        self._when_asked = when_asked
        self.allowed = ["127.0.0.1:*"]
        self._patches = ExitStack()
        self._carriers = {id(node.tox): MemoryCarrier() for node in self.network.nodes}
        self.plug()

    async def __aenter__(self) -> Self:
        self._patches.enter_context(patch.object(path_module, "ToxCarrier", self._carrier_of))
        self._turning = asyncio.create_task(self._turn())
        self.client_builtins = Builtins()
        nothing_else = ForwardServer(lambda _: Rules(()), self.client_builtins)
        self.calling = Roads(
            self.client_node, OwnStatus(self.client_node), self._wanted, nothing_else.serve, mostly_calls=True
        )
        self.answering = DatagramServer(lambda: self.calling.chooser.fast, self.client_builtins)
        self.client_builtins.on_withdraw = self.answering.judge_again
        self.client_builtins.offer(associations.NAME, self.answering.builtin(self.client_builtins.leads))
        self.builtins = Builtins()
        self.server = ForwardServer(lambda _: parse_rules("\n".join(self.allowed), "rules"), self.builtins)
        self.serving = Roads(
            self.server_node,
            OwnStatus(self.server_node),
            RoadPolicy.AUTO,
            self.server.serve,
            when_asked=self._when_asked,
        )
        self.builtins.on_use = self.serving.start
        self.datagrams = DatagramServer(lambda: self.serving.chooser.fast, self.server)
        self.builtins.offer(associations.NAME, self.datagrams.builtin(self.server.serves))
        self.caller = Caller(self.client_node, self.peer, self.calling.chooser)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()
        await self.calling.close()
        await self.builtins.close()
        await self.client_builtins.close()
        await self.serving.close()
        self._turning.cancel()
        await asyncio.wait([self._turning])
        self.network.close()
        self._patches.close()

    @property
    def road(self) -> str:
        """The road that the next stream would take."""
        return self.calling.chooser.choice(self.peer)[0]

    async def until_fast(self) -> None:
        await until(lambda: self.road == "fast")

    def plug(self) -> None:
        """Lets lossy packets through."""
        self._join(self.client_peer.number, self.peer.number)

    def unplug(self) -> None:
        """Loses lossy packets, without a sign of it: they arrive as those of a stranger."""
        self._join(STRANGER, STRANGER)

    def _join(self, client_number: int, server_number: int) -> None:
        ours, theirs = self._carrier(self.client_node), self._carrier(self.server_node)
        ours.join(theirs, client_number)
        theirs.join(ours, server_number)

    def _carrier(self, node: Node) -> MemoryCarrier:
        return self._carriers[id(node.tox)]

    def _carrier_of(self, tox: Tox) -> ToxCarrier:
        return cast(ToxCarrier, self._carriers[id(tox)])

    async def _turn(self) -> None:
        """Nothing else ends a round of packets that do not come through Tox."""
        while True:
            for carrier in self._carriers.values():
                carrier.flush_inbound()
            await asyncio.sleep(TURN_S)
