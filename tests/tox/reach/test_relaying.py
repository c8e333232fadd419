"""The machine between: whom it relays for, and what it tells them."""

from collections.abc import AsyncIterator

import pytest

from toxvpn._native.results import Connection
from toxvpn.testing.fake_nodes import Network
from toxvpn.testing.friend_between import OneOfThree, Three
from toxvpn.tox.reach.relaying import TELL_AGAIN_S, TELLS
from toxvpn.wire.reach import relayoffer


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    network = Network()
    three = Three(network)
    yield three
    three.close()
    network.close()


def told(machine: OneOfThree) -> list[bytes]:
    """The packets about relaying that come to it from now on."""
    packets: list[bytes] = []
    handler = machine.fake.handler
    assert handler is not None
    on_lossy = handler.on_lossy

    def note(number: int, packet: bytes) -> None:
        if packet[0] == relayoffer.PACKET_ID:
            packets.append(packet)
        on_lossy(number, packet)

    handler.on_lossy = note  # type: ignore[method-assign]
    return packets


async def test_those_named_are_relayed_for_and_told_of_each_other(three: Three) -> None:
    to_ann, to_ben = told(three.ann), told(three.ben)
    three.pass_s(5)
    numbers = {three.box.sees(three.ann).number, three.box.sees(three.ben).number}
    assert set(three.box.fake.relayed.values()) == numbers
    assert len(to_ann) == len(to_ben) == TELLS
    read = relayoffer.decode_untrusted(to_ann[0], three.box.key, three.ann.key, [three.ben.key])
    assert read is not None
    assert three.box.fake.relayed[read[three.ben.key]] == three.box.sees(three.ben).number
    three.pass_s(TELL_AGAIN_S)
    assert len(to_ann) == TELLS + 1


async def test_nobody_is_relayed_for_unless_named(three: Three) -> None:
    three.box.relaying.named = lambda: {three.ann.key}
    to_ann, to_ben = told(three.ann), told(three.ben)
    three.pass_s(5)
    assert list(three.box.fake.relayed.values()) == [three.box.sees(three.ann).number]
    assert to_ben == []
    assert set(to_ann) == {bytes([relayoffer.PACKET_ID])}, "of nobody"


@pytest.mark.parametrize("connection", [Connection.NONE, Connection.TCP])
async def test_who_is_not_connected_directly_is_not_relayed_for(three: Three, connection: Connection) -> None:
    three.pass_s(5)
    to_ann = told(three.ann)
    before = dict(three.box.fake.relayed)
    three.box.is_on(three.ben, connection)
    assert list(three.box.fake.relayed.values()) == [three.box.sees(three.ann).number], "at once"
    three.pass_s(2)
    assert to_ann[-1] == bytes([relayoffer.PACKET_ID])
    three.box.is_on(three.ben, Connection.UDP)
    assert three.box.fake.relayed == before, "by the same indices"


async def test_who_is_on_a_detour_itself_is_not_relayed_for(three: Three) -> None:
    three.box.node.each_tick.remove(three.box.detours._tick)
    three.box.sees(three.ben).via = bytes(32)
    three.pass_s(2)
    assert list(three.box.fake.relayed.values()) == [three.box.sees(three.ann).number]


async def test_a_reload_that_names_nobody_ends_it(three: Three) -> None:
    three.pass_s(2)
    three.box.relaying.named = tuple
    three.pass_s(2)
    assert three.box.fake.relayed == {}
