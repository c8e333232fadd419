"""The way into the network: the list of nodes, and that nothing bypasses a proxy."""

import json
import socket
from pathlib import Path

import pytest

from toxvpn.config.options import NodeOptions
from toxvpn.doctor import network as doctor_network
from toxvpn.doctor import nodes as doctor_nodes
from toxvpn.doctor.findings import Layer, State
from toxvpn.doctor.layers import LayerFailed, Layers
from toxvpn.doctor.network import check_network, check_nodes
from toxvpn.doctor.nodes import Answers, ResolvedNode
from toxvpn.tox.bootstrap import BootstrapNode
from toxvpn.tox.proxy import Proxy

NODE = BootstrapNode(("192.0.2.1",), 33445, (), bytes(32))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ResolvedNode]:
    """The nodes that were asked; all answer, over UDP."""
    made: list[ResolvedNode] = []

    async def ask(nodes: list[ResolvedNode]) -> Answers:
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


def make_layers() -> Layers:
    return Layers(lambda _: None)


async def test_nodes_are_asked_and_udp_follows(asked: list[ResolvedNode]) -> None:
    layers = make_layers()
    node = ResolvedNode(NODE, NODE.hosts)
    assert await check_network(layers, NodeOptions(), [node], lambda: "none") is True
    assert asked == [node]
    assert [finding.layer for finding in layers.findings] == [Layer.BOOTSTRAP, Layer.UDP]


async def test_of_a_long_list_some_are_chosen(listed: Path) -> None:
    chosen: list[ResolvedNode] = []
    seen = await check_nodes(NodeOptions(nodes_file=listed), chosen)
    assert (seen.total, len(chosen)) == (30, doctor_network.ASKED_NODES)


async def test_with_a_proxy_the_proxy_alone_is_asked(asked: list[ResolvedNode], listed: Path) -> None:
    layers = make_layers()
    chosen: list[ResolvedNode] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = NodeOptions(
            proxy=Proxy("socks5", "127.0.0.1", listener.getsockname()[1]), nodes_file=listed
        )
        assert (await check_nodes(options, chosen)).finding().state is State.OK
        assert await check_network(layers, options, chosen, lambda: "none") is None
    assert asked == chosen == []
    assert [finding.layer for finding in layers.findings] == [Layer.BOOTSTRAP]


async def test_a_proxy_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    layers = make_layers()
    with pytest.raises(LayerFailed):
        await check_network(layers, NodeOptions(proxy=Proxy("http", "127.0.0.1", port)), [], lambda: "none")
    assert f"http://127.0.0.1:{port}" in layers.findings[0].detail
