"""When a peer is looked for by way of a friend."""

from collections.abc import AsyncIterator

import pytest

from toxvpn._native.net.netio import DetourTraffic
from toxvpn._native.path.packets import Counters
from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network
from toxvpn.testing.friend_between import STEP_S, Three
from toxvpn.tox.reach.detours import (
    DOUBT_S,
    LONGEST_REST_S,
    OFFER_S,
    PROVEN_S,
    REST_S,
    SETTLE_S,
    SILENT_S,
    TAKEN_OVER_S,
    TRIES,
)
from toxvpn.tox.reach.recovery import DEAD_S
from toxvpn.wire.reach import whereabouts


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


# -- a direct path that falls silent -------------------------------------------------------------


class Counting:
    """A datapath that has sent and received that many packets."""

    def __init__(self) -> None:
        self.sent = self.received = 0

    def counters(self, friend_number: int) -> Counters:
        return Counters(self.received, 0, self.sent, 0, {})

    def heard(self, friend_number: int) -> None:
        pass


@pytest.fixture
def datapath(three: Three) -> Counting:
    counting = Counting()
    three.ann.node.datapaths.append(counting)
    three.ann.fake._accepted.discard(whereabouts.PACKET_ID)  # nothing comes from ben
    return counting


def send_for(three: Three, datapath: Counting, seconds: float, *, answered: bool = False) -> None:
    for _ in range(round(seconds / STEP_S)):
        datapath.sent += 1
        datapath.received += answered
        three.pass_s(STEP_S)


async def test_who_gets_no_answer_looks_for_the_peer_by_way_of_the_friend(
    three: Three, datapath: Counting
) -> None:
    send_for(three, datapath, 5, answered=True)
    assert three.ann.looked() == []
    send_for(three, datapath, SILENT_S)
    assert three.ann.looked() == []
    send_for(three, datapath, 0.5)
    assert three.ann.looked() == ["febf::0"]


async def test_a_peer_that_has_nothing_to_say_is_not_silent(three: Three, datapath: Counting) -> None:
    three.pass_s(60)
    assert three.ann.looked() == []


async def test_recovery_waits_for_the_friend_before_it_gives_all_paths_up(
    three: Three, datapath: Counting
) -> None:
    assert three.ann.recovery.dead_s(three.ann.sees(three.ben)) == TAKEN_OVER_S
    assert three.ann.recovery.dead_s(three.ann.sees(three.box)) == DEAD_S


async def test_who_is_looked_for_asks_first_whether_the_peer_is_there(
    three: Three, datapath: Counting
) -> None:
    three.ann.uses(0, None, asked=1)
    three.pass_s(DOUBT_S - 0.25)
    assert three.ann.looked() == []
    three.pass_s(0.5)
    assert three.ann.looked() == ["febf::0"], "it does not answer"


async def test_a_friend_that_makes_it_up_does_not_get_between(three: Three) -> None:
    for asked in range(1, 200):
        three.ann.uses(0, None, asked=asked)
        three.pass_s(STEP_S)
    assert three.ann.looked() == [], "for the peer answers"


async def test_who_is_looked_for_while_on_a_relay_looks_at_once(three: Three) -> None:
    three.ann.is_on(three.ben, Connection.TCP)
    three.ann.uses(0, None, asked=1)
    three.pass_s(STEP_S)
    assert three.ann.looked() == ["febf::0"]


async def test_what_comes_by_the_detour_alone_is_no_path(three: Three) -> None:
    """The peer sends there already; our toxcore does not take it."""
    three.ann.fake.detour_use[0] = DetourTraffic(0, 5, 1, None, 0.1)
    three.pass_s(1)
    assert three.ann.sees(three.ben).path == "udp"
    three.ann.uses(0, 0.1)
    three.pass_s(1)
    three.ann.fake.detour_use[0] = DetourTraffic(5, 5, 1, 20.0, 0.1)
    three.pass_s(1)
    assert three.ann.sees(three.ben).path == "friend", "what we send goes straight, what comes does not yet"
