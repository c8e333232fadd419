"""The way into the network: the list of nodes, and that with a proxy nobody is asked around it."""

import json
import socket
from pathlib import Path

import pytest

from toxvpn.config.options import NodeOptions
from toxvpn.doctor import network as doctor_network
from toxvpn.doctor import nodes as doctor_nodes
from toxvpn.doctor.layers import Stopped, Walk
from toxvpn.doctor.network import the_list, way_in
from toxvpn.doctor.nodes import Addressed, Answers
from toxvpn.doctor.observations import Layer, State
from toxvpn.tox.bootstrap import BootstrapNode
from toxvpn.tox.proxy import Proxy

NODE = BootstrapNode(("192.0.2.1",), 33445, (), bytes(32))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Addressed]:
    """The nodes that were asked; all answer, over UDP."""
    made: list[Addressed] = []

    async def ask(nodes: list[Addressed]) -> Answers:
        made.extend(nodes)
        return Answers({each.node.public_key for each in nodes}, set())

    monkeypatch.setattr(doctor_nodes, "ask", ask)
    return made


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of more nodes than are asked."""
    nodes = [{"ipv4": f"192.0.2.{n}", "port": 33445, "public_key": f"{n:064X}"} for n in range(1, 31)]
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps({"nodes": nodes}))
    return path


def walk() -> Walk:
    return Walk(lambda _: None)


async def test_nodes_are_asked_and_udp_follows(asked: list[Addressed]) -> None:
    going = walk()
    node = Addressed(NODE, NODE.hosts)
    assert await way_in(going, NodeOptions(), [node], lambda: "none") is True
    assert asked == [node]
    assert [finding.layer for finding in going.findings] == [Layer.BOOTSTRAP, Layer.UDP]


async def test_of_a_long_list_some_are_chosen(listed: Path) -> None:
    chosen: list[Addressed] = []
    seen = await the_list(NodeOptions(nodes_file=listed), chosen)
    assert (seen.total, len(chosen)) == (30, doctor_network.ASKED_NODES)


async def test_with_a_proxy_the_proxy_alone_is_asked(asked: list[Addressed], listed: Path) -> None:
    going = walk()
    chosen: list[Addressed] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = NodeOptions(
            proxy=Proxy("socks5", "127.0.0.1", listener.getsockname()[1]), nodes_file=listed
        )
        assert (await the_list(options, chosen)).finding().state is State.OK
        assert await way_in(going, options, chosen, lambda: "none") is None
    assert asked == chosen == []
    assert [finding.layer for finding in going.findings] == [Layer.BOOTSTRAP]


async def test_a_proxy_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    going = walk()
    with pytest.raises(Stopped):
        await way_in(going, NodeOptions(proxy=Proxy("http", "127.0.0.1", port)), [], lambda: "none")
    assert f"http://127.0.0.1:{port}" in going.findings[0].detail
