"""Nodes on a FakeNetwork, for tests of everything above the node."""

import asyncio
from collections.abc import Callable
from typing import cast

from .._native.results import Connection
from .._native.toxcore import Tox
from ..tox.bootstrap import Contact
from ..tox.node import Node
from .fake_tox import FakeNetwork, FakeTox


class Once:
    """Names its contacts the first time it is asked."""

    def __init__(self, contacts: list[Contact]) -> None:
        self._contacts = contacts

    def due(self, now: float, connection: Connection) -> list[Contact]:
        found, self._contacts = self._contacts, []
        return found

    def hurry(self, now: float) -> None: ...


class Network:
    """Started nodes that share one FakeNetwork; `close` ends them all."""

    def __init__(self) -> None:
        self.tox = FakeNetwork()
        self.nodes: list[Node] = []

    def node(
        self,
        friends: list[bytes] | None = None,
        contacts: list[tuple[str, int, tuple[int, ...], bytes]] | None = None,
    ) -> Node:
        fake = FakeTox(self.tox)
        for key in friends or []:
            fake.friend_add_norequest(key)
        bootstraps = Once([Contact(*contact) for contact in contacts or []])
        node = Node(cast(Tox, fake), bootstraps)
        node.start()
        self.nodes.append(node)
        return node

    def pair(self) -> tuple[Node, Node]:
        """Two nodes that are each other's peer already."""
        left, right = self.node(), self.node()
        left.accept(right.tox.public_key)
        right.accept(left.tox.public_key)
        for node in (left, right, left):
            node.turns.turn()
        return left, right

    def fake(self, node: Node) -> FakeTox:
        return cast(FakeTox, node.tox)

    def rate_of(self, node: Node) -> float:
        return self.fake(node).clock_rate

    def bootstrapped(self, node: Node) -> list[tuple[str, int, bytes]]:
        return self.fake(node).bootstrapped

    def close(self) -> None:
        for node in self.nodes:
            node.close()


async def until(done: Callable[[], object], deadline_s: float = 10) -> None:
    """Waits for a state; the event loop's own work is what changes it."""
    async with asyncio.timeout(deadline_s):
        while not done():
            await asyncio.sleep(0.001)
