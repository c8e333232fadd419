"""What a network puts before an IPv4 address is found by a name, and told to the network under toxcore."""

from collections.abc import Callable, Iterator

import pytest

from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network
from toxvpn.tox.events import SelfConnection
from toxvpn.tox.node import Node
from toxvpn.tox.reach import nat64
from toxvpn.tox.reach.nat64 import AGAIN_S, Nat64, prefix_of

ONLINE = SelfConnection(Connection.TCP)
NAMED = ["192.0.0.170", "64:ff9b::c000:aa"]


@pytest.mark.parametrize("last", ["c000:aa", "c000:ab"])
def test_the_prefix_stands_before_the_names_own_address(last: str) -> None:
    assert prefix_of(["192.0.0.170", f"64:ff9b::{last}"]) == "64:ff9b::"
    assert prefix_of([f"2001:db8:1:2:3:4:{last}"]) == "2001:db8:1:2:3:4::"


@pytest.mark.parametrize(
    "addresses",
    [
        [],
        ["192.0.0.170"],
        ["::ffff:192.0.0.170"],
        ["64:ff9b::c000:ac"],
        ["2001:db8::c0:0:aa00:0", "fe80::1%1"],
    ],
)
def test_other_addresses_show_none(addresses: list[str]) -> None:
    assert prefix_of(addresses) is None


class Here:
    """A network, and its name server's answers, given when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ipv4: str | None = None
        self.asked: list[str] = []
        self._answer: Callable[[list[str]], None] | None = None
        monkeypatch.setattr(nat64, "source_of", lambda host, mark: self.ipv4)

    def resolve(self, host: str, found: Callable[[list[str]], None]) -> None:
        self.asked.append(host)
        self._answer = found

    def answer(self, addresses: list[str]) -> None:
        self.answer_later()(addresses)

    def answer_later(self) -> Callable[[list[str]], None]:
        assert self._answer
        return self._answer


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(monkeypatch)


async def test_it_is_told_as_soon_as_it_is_known(
    network: Network, here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    node = network.node()
    caplog.set_level("INFO")
    Nat64(node, here.resolve)
    assert here.asked == ["ipv4only.arpa"] and network.fake(node).nat64 == ""
    here.answer(NAMED)
    assert network.fake(node).nat64 == "64:ff9b::"
    told = [line for line in caplog.messages if "NAT64" in line]  # "Tox network: …" may come too
    assert told == ["this network has no IPv4, and translates to it (NAT64) at 64:ff9b::/96"]


async def test_where_there_is_ipv4_nothing_is_asked(network: Network, here: Here) -> None:
    here.ipv4 = "192.0.2.7"
    node = network.node()
    Nat64(node, here.resolve)._on_event(ONLINE)
    assert here.asked == [] and network.fake(node).nat64 == ""


async def test_without_an_answer_it_asks_again_once_there_is_a_network(network: Network, here: Here) -> None:
    node = network.node()
    found = Nat64(node, here.resolve)
    found._on_event(SelfConnection(Connection.NONE))
    assert len(here.asked) == 1
    found._on_event(ONLINE)
    assert len(here.asked) == 2
    here.answer(NAMED)
    found._on_event(ONLINE)
    assert len(here.asked) == 2


async def test_another_network_has_another_prefix_or_none(network: Network, here: Here) -> None:
    node = network.node()
    found = Nat64(node, here.resolve)
    here.answer(NAMED)
    found.moved()
    assert network.fake(node).nat64 == "64:ff9b::"
    here.answer(["2001:db8:64::c000:aa"])
    assert network.fake(node).nat64 == "2001:db8:64::"
    found.moved()
    here.answer(["192.0.0.170"])
    assert network.fake(node).nat64 == ""


async def test_with_ipv4_again_it_is_not_used(network: Network, here: Here) -> None:
    node = network.node()
    found = Nat64(node, here.resolve)
    here.answer(NAMED)
    found.moved()
    here.ipv4 = "192.0.2.7"
    here.answer(["2001:db8:64::c000:aa"])
    assert network.fake(node).nat64 == "64:ff9b::"  # the move to that network tells
    found.moved()
    assert network.fake(node).nat64 == ""


def pass_s(node: Node, seconds: float) -> None:
    now = node.now() + seconds
    for call in node.each_tick:
        call(now)


async def test_it_is_asked_for_until_there_is_an_answer(network: Network, here: Here) -> None:
    """The old network's prefix would be used for good."""
    node = network.node()
    known = Nat64(node, here.resolve)
    here.answer(NAMED)
    known.moved()
    pass_s(node, AGAIN_S - 1)
    assert len(here.asked) == 2
    pass_s(node, AGAIN_S + 1)
    assert len(here.asked) == 3
    here.answer(["192.0.0.170", "2001:db8::c000:aa"])
    assert network.fake(node).nat64 == "2001:db8::"
    pass_s(node, 10 * AGAIN_S)
    assert len(here.asked) == 3


async def test_an_answer_of_the_network_before_does_not_count(network: Network, here: Here) -> None:
    node = network.node()
    known = Nat64(node, here.resolve)
    answer = here.answer_later()
    known.moved()
    answer(NAMED)
    assert network.fake(node).nat64 == ""
    assert len(here.asked) == 3, "only one look-up of a name is under way at a time"
    here.answer(["192.0.0.170", "2001:db8::c000:aa"])
    assert network.fake(node).nat64 == "2001:db8::"
