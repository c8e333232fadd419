"""Asking bootstrap nodes: who answers over UDP, who takes a TCP connection; on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from toxvpn.doctor import nodes as doctor_nodes
from toxvpn.doctor.nodes import INFO_REQUEST, ResolvedNode, ask, check_bootstrap, resolve
from toxvpn.tox.bootstrap import BootstrapNode

KEY, OTHER = bytes([1]) * 32, bytes([2]) * 32


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSWERS_S", "RESOLVE_S", "SILENT_S"):
        monkeypatch.setattr(doctor_nodes, name, 0.3)
    monkeypatch.setattr(doctor_nodes, "RETRY_S", 0.05)


class Node(asyncio.DatagramProtocol):
    """Answers an information request; ignores the first `deaf` datagrams."""

    def __init__(self, answer: bytes, deaf: int) -> None:
        self.answer = answer
        self.deaf = deaf
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.deaf -= 1
        if self.deaf < 0 and data == INFO_REQUEST:
            self.transport.sendto(self.answer, address)


class Nodes:
    def __init__(self) -> None:
        self.started: list[Node] = []

    async def start(
        self, answer: bytes = b"\xf0\0\0\0\1hello\0", deaf: int = 0, host: str = "127.0.0.1"
    ) -> int:
        """Its port."""
        node = Node(answer, deaf)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: node, (host, 0))
        self.started.append(node)
        port: int = node.transport.get_extra_info("sockname")[1]
        return port


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    made = Nodes()
    yield made
    for node in made.started:
        node.transport.close()
    await asyncio.sleep(0)  # closing takes the loop's next round


def at(port: int, key: bytes = KEY, *, tcp: tuple[int, ...] = (), host: str = "127.0.0.1") -> ResolvedNode:
    return ResolvedNode(BootstrapNode((host,), port, tcp, key), (host,))


async def test_a_node_that_answers(nodes: Nodes) -> None:
    answers = await ask([at(await nodes.start())])
    assert (answers.udp, answers.tcp) == ({KEY}, set())


async def test_a_lost_datagram_is_sent_again(nodes: Nodes) -> None:
    assert (await ask([at(await nodes.start(deaf=2))])).udp == {KEY}


async def test_over_ipv6(nodes: Nodes) -> None:
    port = await nodes.start(host="::1")
    assert (await ask([at(port, host="::1")])).udp == {KEY}


async def test_each_answer_counts_for_its_own_node(nodes: Nodes) -> None:
    answering, deaf = await nodes.start(), await nodes.start(deaf=1000)
    assert (await ask([at(answering), at(deaf, OTHER)])).udp == {KEY}


async def test_something_else_is_no_answer(nodes: Nodes) -> None:
    assert (await ask([at(await nodes.start(b"\x01"))])).udp == set()


async def test_a_relay_port_that_is_open(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as relay, socket.create_server(("127.0.0.1", 0)) as gone:
        port, closed = relay.getsockname()[1], gone.getsockname()[1]
        gone.close()
        answers = await ask(
            [at(await nodes.start(deaf=1000), tcp=(closed, port)), at(closed, OTHER, tcp=(closed,))]
        )
    assert (answers.udp, answers.tcp) == (set(), {KEY})


async def test_the_last_word_is_how_we_are_connected(nodes: Nodes) -> None:
    seen = await check_bootstrap([at(await nodes.start(deaf=1000))], lambda: "udp")
    assert (seen.asked, seen.udp, seen.path) == (1, 0, "udp")


async def test_names_are_resolved_and_those_without_an_address_told() -> None:
    mixed = BootstrapNode(("localhost", "192.0.2.1"), 1, (), KEY)
    lost = BootstrapNode(("no-such-name.invalid",), 2, (), OTHER)
    addressed, unresolved = await resolve([mixed, lost])
    [found] = addressed
    assert found.node is mixed and {"127.0.0.1", "192.0.2.1"} <= {*found.hosts, "127.0.0.1"}
    assert unresolved == ("no-such-name.invalid",)
