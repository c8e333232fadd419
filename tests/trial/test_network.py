from pathlib import Path

from toxvpn.tox.bootstrap import load_nodes
from toxvpn.trial.network import tox_network


async def test_the_one_node_is_the_one_of_the_file(tmp_path: Path) -> None:
    with tox_network("192.0.2.1", tmp_path / "nodes.json"):
        (node,) = load_nodes(tmp_path / "nodes.json")
    assert (node.hosts, node.tcp_ports) == (("192.0.2.1",), ())
    assert node.port > 0
