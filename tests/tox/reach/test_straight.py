"""Back from a friend to a direct path: looks, knocks, and what goes straight."""

from collections.abc import AsyncIterator

import pytest

from toxvpn.testing.fake_nodes import Network
from toxvpn.testing.friend_between import OneOfThree, Three
from toxvpn.tox.reach.straight import KNOCK_AFTER_S, LONGEST_S, LOOK_S, STRAIGHT_S
from toxvpn.wire.reach import knock
from toxvpn.wire.reach.knock import Knock, KnockKind

PLACE = ("203.0.113.7", 40000)


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    """ann is on a detour to ben, and knows where ben was."""
    network = Network()
    three = Three(network)
    three.pass_s(5)
    for machine in three.all:
        machine.fake.source = None
    three.ann.sees(three.ben).places = {False: PLACE}
    three.ann.uses(0, 0.5)
    three.ben.uses(0, 0.5)
    three.pass_s(0.5)
    assert three.ann.sees(three.ben).path == "friend"
    three.ann.fake.straightened.clear()
    yield three
    three.close()
    network.close()


def said(machine: OneOfThree) -> list[Knock]:
    """What others say to it from now on."""
    heard: list[Knock] = []
    handler = machine.fake.handler
    assert handler is not None
    on_lossy = handler.on_lossy

    def note(number: int, packet: bytes) -> None:
        if packet[0] == knock.PACKET_ID and (told := knock.decode_untrusted(packet)) is not None:
            heard.append(told)
        on_lossy(number, packet)

    handler.on_lossy = note  # type: ignore[method-assign]
    return heard


def mute(machine: OneOfThree) -> None:
    machine.node.each_tick.remove(machine.straight._tick)


async def test_both_look_and_a_knock_goes_straight(three: Three) -> None:
    mute(three.ben)
    to_ben = said(three.ben)
    three.ann.fake.bootstrapped.clear()
    three.pass_s(LOOK_S)
    assert [each.kind for each in to_ben] == [KnockKind.LOOK]
    assert three.ann.fake.bootstrapped == [(*PLACE, three.ben.fake.dht_id)]
    assert three.ben.fake.bootstrapped, "the other side looks at the same time"
    assert three.ann.fake.straightened == []
    three.pass_s(KNOCK_AFTER_S)
    assert [each.kind for each in to_ben] == [KnockKind.LOOK, KnockKind.KNOCK]
    assert three.ann.fake.straightened[:2] == [(0, *PLACE, 1.0), (0, *PLACE, 0.0)], "the knock alone"


async def test_who_is_heard_sends_straight_for_a_while(three: Three) -> None:
    three.pass_s(LOOK_S + KNOCK_AFTER_S)
    assert three.ann.fake.straightened[-1] == (0, *PLACE, STRAIGHT_S)
    three.ann.fake.straightened.clear()
    three.pass_s(STRAIGHT_S)
    renewals = [each for each in three.ann.fake.straightened if each[-1] == STRAIGHT_S]
    assert renewals == three.ann.fake.straightened, "no knock past it: all goes straight already"
    assert len(renewals) >= STRAIGHT_S / (LOOK_S + 1)


async def test_a_knock_that_nobody_hears_changes_nothing(three: Three) -> None:
    mute(three.ben)
    three.ben.fake._accepted.discard(knock.PACKET_ID)
    to_ben = three.ben.fake.unaccepted_packets
    three.keep_s(600)
    assert all(each[-1] in (1.0, 0.0) for each in three.ann.fake.straightened)
    assert three.ben.fake.unaccepted_packets - to_ben < 2 * (600 / LONGEST_S + 8), "and becomes rare"


async def test_an_answer_to_no_knock_of_ours_is_ignored(three: Three) -> None:
    for token in range(20):
        three.ben.fake.send_lossy(
            three.ben.sees(three.ann).number, knock.encode(Knock(KnockKind.HEARD, token))
        )
    three.turn()
    assert three.ann.fake.straightened == []


async def test_who_guesses_has_one_guess(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    mute(three.ben)
    monkeypatch.setattr("secrets.randbelow", lambda _: 40_000)
    tokens: list[int] = []
    handler = three.ben.fake.handler
    assert handler is not None

    def guess(_number: int, packet: bytes) -> None:
        told = knock.decode_untrusted(packet)
        if told is not None and told.kind is KnockKind.KNOCK:
            tokens.append(told.token)
            for token in (*range(30), told.token):
                answer = knock.encode(Knock(KnockKind.HEARD, token))
                three.ben.fake.send_lossy(three.ben.sees(three.ann).number, answer)

    monkeypatch.setattr(handler, "on_lossy", guess)
    three.keep_s(120)
    assert tokens, "it knocked"
    assert not [each for each in three.ann.fake.straightened if each[-1] == STRAIGHT_S]


async def test_answers_are_bounded(three: Three) -> None:
    to_ann = said(three.ann)
    for _ in range(100):
        three.ann.fake.send_lossy(three.ann.sees(three.ben).number, knock.encode(Knock(KnockKind.KNOCK, 1)))
    three.turn()
    assert len(to_ann) <= 8


async def test_on_a_direct_path_nobody_knocks(three: Three) -> None:
    three.ann.uses(0, 10)
    three.ben.uses(0, 10)
    three.pass_s(1)
    to_ben = said(three.ben)
    three.pass_s(60)
    assert to_ben == []
