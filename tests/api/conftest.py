"""Nodes of a program in this process, on a Tox network in memory; those of the fast road have real stacks."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from random import Random
from typing import Any, TypeVar, cast

import pytest
import pytest_asyncio

import toxvpn
from toxvpn._native.path.toxcarrier import ToxCarrier
from toxvpn._native.toxcore import Tox
from toxvpn.api.server import Handler
from toxvpn.daemon import node as daemon_node
from toxvpn.state import identity
from toxvpn.tcpforward.fast import path as fast_path
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fake_tox import FakeNetwork, FakeTox
from toxvpn.testing.memory_carrier import MemoryCarrier

SECRET = "known to both, and long enough"
PORT = 80
R = TypeVar("R")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
MakeNode = Callable[..., contextlib.AbstractAsyncContextManager[toxvpn.Node]]


@pytest.fixture(scope="module")
def network() -> Iterator[FakeNetwork]:
    """The network in memory that every node joins."""
    made = FakeNetwork()

    def make_tox(own: identity.Identity, chance: Random, *options: object) -> Tox:
        return cast(Tox, FakeTox(made, savedata=own.savedata))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(daemon_node, "make_tox", make_tox)
        patch.setattr(identity, "check", lambda path, savedata: None)
        yield made
    assert not made.members


@pytest.fixture(scope="module")
def make_node(network: FakeNetwork, tmp_path_factory: pytest.TempPathFactory) -> MakeNode:
    """`toxvpn.node` with bootstrap nodes of the test, on the tuntox road unless told otherwise."""
    path = tmp_path_factory.mktemp("nodes") / "nodes.json"
    path.write_text(json.dumps({"nodes": [{"ipv4": "127.0.0.1", "port": 9, "public_key": "00" * 32}]}))

    def make(*arguments: Any, **options: Any) -> contextlib.AbstractAsyncContextManager[toxvpn.Node]:
        usual: dict[str, Any] = {"nodes_file": path, "road": "tuntox"}
        return toxvpn.node(*arguments, **(usual | options))

    return make


class Pair:
    """A server, and a client that calls it. `peer` is the server, as the client sees it."""

    def __init__(self, server: toxvpn.Node, client: toxvpn.Node) -> None:
        self.server = server
        self.client = client
        self.peer = client.peer(server.id, secret=SECRET)
        self._accepted: asyncio.Queue[Streams] = asyncio.Queue()

    async def open(self) -> tuple[Streams, Streams]:
        """The two ends of one stream: the client's, and the server's."""
        ours = await self.client.open_connection(self.peer, "localhost", PORT)
        return ours, await self.accepted()

    async def accepted(self) -> Streams:
        return await in_time(self._accepted.get())

    async def serve(self, handler: Handler | None = None) -> toxvpn.Server:
        return await self.server.start_server(handler or self._accept, PORT)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted.put_nowait((reader, writer))


class Wire:
    """Carries the packets of the private stacks of two nodes, in place of Tox."""

    def __init__(self) -> None:
        self._carriers: dict[int, MemoryCarrier] = {}

    def carrier(self, tox: Tox) -> ToxCarrier:
        return cast(ToxCarrier, self._of(tox))

    def join(self, one: toxvpn.Node, other: toxvpn.Node) -> None:
        for ours, theirs in ((one._node, other._node), (other._node, one._node)):
            known = theirs.peer(ours.tox.public_key)
            assert known is not None
            self._of(ours.tox).join(self._of(theirs.tox), known.number)

    def _of(self, tox: Tox) -> MemoryCarrier:
        return self._carriers.setdefault(id(tox), MemoryCarrier())

    async def turn(self) -> None:
        """Nothing else ends a round of packets."""
        while True:
            for carrier in self._carriers.values():
                carrier.flush_inbound()
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def connected(make_node: MakeNode, road: str) -> AsyncIterator[Pair]:
    """A pair whose streams take that road."""
    wire = Wire()
    turning = asyncio.create_task(wire.turn())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_path, "ToxCarrier", wire.carrier)
        async with make_node(secret=SECRET, road=road) as server, make_node(road=road) as client:
            made = Pair(server, client)
            await made.serve()
            await in_time(made.peer.connected())
            wire.join(server, client)
            peer = client._node.peer(bytes.fromhex(made.peer.key))
            assert peer is not None
            await until(lambda: client._calling.roads.chooser.choice(peer)[0] == road)
            yield made
    turning.cancel()
    await asyncio.wait([turning])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["tuntox", "fast"])
async def pair(request: pytest.FixtureRequest, make_node: MakeNode) -> AsyncIterator[Pair]:
    """On each road; the tests of a module share it."""
    async with connected(make_node, request.param) as made:
        yield made


async def in_time(work: Awaitable[R]) -> R:
    return await asyncio.wait_for(work, 10)
