"""A client that asks a server to listen for it, over the tuntox road, in one process.

Program (here at the server) -> RemoteListeners -> Caller -> road ~ road -> Passage -> TargetProgram
"""

import asyncio

from ..tcpforward.builtin import Builtins
from ..tcpforward.caller import Caller
from ..tcpforward.choice import RoadChoice
from ..tcpforward.remote.client import RemoteForwarding
from ..tcpforward.remote.rules import ListenRules, parse_listen_rules
from ..tcpforward.remote.server import RemoteListeners
from ..tcpforward.remote.spec import parse_remote
from ..tcpforward.rules import Rules
from ..tcpforward.server import ForwardServer
from ..tox.peer import Peer
from .fake_nodes import until
from .forward_pair import ForwardPair, in_time

NOTHING = Rules(())


def chosen(_: Peer) -> RoadChoice:
    return "tuntox", "the only one"


class RemotePair(ForwardPair):
    """The server lets the client listen as `rules` say. They may be changed, and allow all that there is."""

    def __init__(self, *rules: str) -> None:
        self.rules = parse_listen_rules(rules)
        self.client_builtins, self.server_builtins = Builtins(), Builtins()
        super().__init__(
            serve=ForwardServer(lambda _: NOTHING, self.server_builtins).serve,
            client_serve=ForwardServer(lambda _: NOTHING, self.client_builtins).serve,
        )
        self.listeners = RemoteListeners(self.server_node, self.server_road, chosen, self._may_listen)
        self.listeners.offer(self.server_builtins)
        self.told: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aexit__(self, *about: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await in_time(self.server_builtins.close())
        await in_time(self.listeners.close())
        await in_time(self.client_builtins.close())
        await super().__aexit__(*about)

    def remote(self, spec: str, caller: Caller | None = None) -> RemoteForwarding:
        """What `-R spec` makes; nothing has been asked yet."""
        wanted = parse_remote(spec)
        return RemoteForwarding(
            caller or self.caller, self.client_builtins, chosen, wanted, self.told.append, "box"
        )

    def run(self, forwarding: RemoteForwarding, *, keep_trying: bool = False) -> "asyncio.Task[None]":
        task = asyncio.create_task(forwarding.run(keep_trying=keep_trying))
        self._tasks.append(task)
        return task

    async def listening(self, spec: str) -> int:
        """Has the server listen; returns the port."""
        forwarding = self.remote(spec)
        self.run(forwarding)
        await until(lambda: forwarding.state.problem is None)
        return int(forwarding.state.listen.rpartition(":")[2])

    def spec(self, listen: str = "127.0.0.1:0") -> str:
        """-R to the target of the pair."""
        return f"{listen}:{self.target.host}:{self.target.port}"

    def _may_listen(self, public_key: bytes) -> ListenRules:
        assert public_key == self.client_node.tox.public_key
        return self.rules
