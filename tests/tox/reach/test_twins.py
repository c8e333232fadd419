"""Which nodes have an address of each family is told to the network under toxcore; on a fake one."""

from collections.abc import Callable, Iterator

import pytest

from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network
from toxvpn.tox.bootstrap import BootstrapNode
from toxvpn.tox.events import SelfConnection
from toxvpn.tox.reach.twins import Twins

ONLINE = SelfConnection(Connection.UDP)


def node_at(*hosts: str) -> BootstrapNode:
    return BootstrapNode(hosts, 33445, (443,), b"k" * 32)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


class Names:
    """Looks names up when told to."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known
        self.asked: list[str] = []

    def resolve(self, host: str, found: Callable[[list[str]], None]) -> None:
        self.asked.append(host)
        if addresses := self.known.get(host.partition(".")[0]):
            found(addresses)


async def test_numeric_addresses_are_told_at_once(network: Network) -> None:
    node = network.node()
    Twins(node, [node_at("192.0.2.1", "2001:db8::1"), node_at("192.0.2.2"), node_at("2001:db8::3")])
    assert network.fake(node).twins == [("192.0.2.1", "2001:db8::1")]


async def test_names_are_looked_up_once_and_when_there_is_a_network(network: Network) -> None:
    node, names = network.node(), Names(both=["2001:db8::1", "192.0.2.1"], four=["192.0.2.2"])
    nodes = [node_at("both.example"), node_at("four.example", "2001:db8::2"), node_at("gone.example")]
    twins = Twins(node, nodes, names.resolve)
    twins._on_event(SelfConnection(Connection.NONE))
    assert names.asked == [] and network.fake(node).twins == []
    twins._on_event(ONLINE)
    twins._on_event(ONLINE)
    assert names.asked == ["both.example", "four.example", "gone.example"]
    assert network.fake(node).twins == [("192.0.2.1", "2001:db8::1"), ("192.0.2.2", "2001:db8::2")]


async def test_the_two_names_of_a_node_belong_together(network: Network) -> None:
    node, names = network.node(), Names(four=["192.0.2.1"], six=["2001:db8::1"])
    Twins(node, [node_at("four.example", "six.example")], names.resolve)._on_event(ONLINE)
    assert network.fake(node).twins == [("192.0.2.1", "2001:db8::1")]


async def test_without_look_ups_names_are_left_out(network: Network) -> None:
    node = network.node()
    Twins(node, [node_at("both.example")])._on_event(ONLINE)
    assert network.fake(node).twins == []
