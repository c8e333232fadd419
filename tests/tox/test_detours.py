"""When a peer is looked for by way of a friend."""

from collections.abc import AsyncIterator

import pytest

from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network
from toxvpn.testing.friend_between import Three
from toxvpn.tox.detours import LONGEST_REST_S, OFFER_S, PROVEN_S, REST_S, SETTLE_S, TRIES


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    network = Network()
    three = Three(network)
    three.pass_s(5)
    yield three
    three.close()
    network.close()


async def test_a_direct_path_needs_no_detour(three: Three) -> None:
    three.pass_s(10)
    assert three.ann.fake.detours == {
        0: (three.ann.sees(three.box).number, three.index_of(three.ben), three.ben.fake.dht_id)
    }, "but the other side may"
    assert three.ann.looked() == []


async def test_behind_a_relay_it_is_looked_for_by_way_of_the_friend(three: Three) -> None:
    three.ann.is_on(three.ben, Connection.TCP)
    three.pass_s(SETTLE_S - 0.5)
    assert three.ann.looked() == [], "a direct path may be found"
    three.pass_s(0.5)
    assert three.ann.looked() == ["febf::0"]
    three.ann.is_on(three.ben, Connection.UDP)
    three.ann.uses(0, 0.5)
    three.pass_s(1)
    assert three.ann.sees(three.ben).via == three.box.key
    assert three.ann.sees(three.ben).path == "friend"
    assert three.ann.looked() == []


async def test_a_direct_path_that_comes_later_is_no_detour(three: Three) -> None:
    three.ann.uses(0, 0.5)
    three.pass_s(1)
    three.ann.uses(0, 4.0)
    three.pass_s(1)
    assert three.ann.sees(three.ben).path == "udp"


async def test_tries_that_lead_nowhere_become_rare(three: Three) -> None:
    three.ann.is_on(three.ben, Connection.TCP)
    three.pass_s(SETTLE_S + TRIES)
    assert len(three.ann.looked()) == TRIES
    three.pass_s(REST_S - TRIES)
    assert three.ann.looked() == []
    three.keep_s(3600)
    assert len(three.ann.looked()) < TRIES * (6 + 3600 / LONGEST_REST_S)


async def test_a_way_that_proves_itself_is_tried_at_once_again(three: Three) -> None:
    three.ann.is_on(three.ben, Connection.TCP)
    three.pass_s(SETTLE_S + TRIES)
    three.ann.is_on(three.ben, Connection.UDP)
    three.ann.uses(0, 0.5)
    three.keep_s(PROVEN_S + 1)
    three.ann.uses(0, 10)
    three.ann.is_on(three.ben, Connection.TCP)
    three.ann.looked()
    three.pass_s(SETTLE_S + TRIES)
    assert len(three.ann.looked()) == TRIES


async def test_no_offer_no_detour(three: Three) -> None:
    three.box.relaying.named = tuple
    three.keep_s(OFFER_S + 1)
    assert three.ann.fake.detours == {}
    three.ann.is_on(three.ben, Connection.TCP)
    three.pass_s(10)
    assert three.ann.looked() == []


async def test_an_offer_is_taken_back_at_once(three: Three) -> None:
    three.box.is_on(three.ben, Connection.NONE)
    three.pass_s(1)
    assert three.ann.fake.detours == {}


@pytest.mark.parametrize("connection", [Connection.NONE, Connection.TCP])
async def test_a_friend_that_is_behind_a_relay_itself_is_no_way(three: Three, connection: Connection) -> None:
    three.ann.is_on(three.box, connection)
    three.ann.is_on(three.ben, Connection.TCP)
    three.pass_s(10)
    assert three.ann.looked() == []


async def test_a_peer_that_is_removed_takes_its_ways_along(three: Three) -> None:
    three.ann.node.remove(three.ann.sees(three.box))
    assert three.ann.fake.detours == {}
