"""The private stacks' life, and streams from end to end over both roads, without Tox."""

import asyncio
import logging
import os
import random
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from toxvpn.tcpforward import choice, roads
from toxvpn.tcpforward.fast import road as road_module
from toxvpn.tcpforward.fast.stack import Stack, StackUnavailableError
from toxvpn.tcpforward.roads import Roads
from toxvpn.tcpforward.spec import RoadPolicy
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.fast_pair import FastPair
from toxvpn.testing.forward_pair import Program
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import Peer
from toxvpn.wire import statusmessage

pytestmark = pytest.mark.real

BULK = random.Random(1).randbytes(4 << 20)
REFUSED = "user namespaces are not allowed here"


@pytest_asyncio.fixture
async def pair(no_descriptor_is_left: None) -> AsyncIterator[FastPair]:
    async with FastPair() as made:
        await made.until_fast()
        yield made
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def infos(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "toxvpn.tcpforward")
    return caplog


async def in_use(pair: FastPair) -> tuple[Program, Program]:
    """An application and its target, between which bytes have passed already."""
    application, target = await pair.joined()
    await application.send(b"x")
    assert await target.receive(1) == b"x"
    return application, target


def offers(peer: Peer) -> bool:
    said = statusmessage.decode(peer.status_text or b"").toxvpn
    return said is not None and said.fast


class TestStreams:
    async def test_bytes_go_both_ways_unchanged(self, pair: FastPair) -> None:
        application, target = await pair.joined()
        async with asyncio.TaskGroup() as group:
            group.create_task(application.send(BULK))
            group.create_task(target.send(BULK[::-1]))
            up = group.create_task(target.receive(len(BULK)))
            down = group.create_task(application.receive(len(BULK)))
        assert up.result() == BULK
        assert down.result() == BULK[::-1]

    async def test_each_way_ends_by_itself(self, pair: FastPair) -> None:
        for near_first in (True, False):
            first, second = (await pair.joined())[:: 1 if near_first else -1]
            await first.send(b"last words")
            first.end()
            assert await second.receive_all() == b"last words"
            await second.send(b"and the answer")
            second.close()
            assert await first.receive_all() == b"and the answer"

    async def test_a_reset_goes_all_the_way(self, pair: FastPair) -> None:
        for near_first in (True, False):
            first, second = (await pair.joined())[:: 1 if near_first else -1]
            first.reset()
            assert await second.is_reset()

    async def test_the_proxy_finds_its_target_at_the_far_end(self, pair: FastPair) -> None:
        application = await pair.connect(pair.socks())
        await application.send(b"\x05\x01\x00")
        assert await application.receive(2) == b"\x05\x00"
        name = b"localhost"
        await application.send(b"\x05\x01\x00\x03\x09" + name + pair.target.port.to_bytes(2))
        assert (await application.receive(10))[:2] == b"\x05\x00"
        target = await pair.accept()
        await target.send(b"hello")
        assert await application.receive(5) == b"hello"


class TestBreaks:
    async def test_a_stream_outlives_a_loss_of_the_peer(self, pair: FastPair) -> None:
        application, target = await in_use(pair)
        pair.network.tox.set_online(False)
        await until(lambda: not pair.peer.online and not pair.client_peer.online)
        await application.send(b"are you there?")
        pair.network.tox.set_online(True)
        assert await target.receive(14) == b"are you there?"
        await target.send(b"still")
        assert await application.receive(5) == b"still"

    async def test_streams_of_a_peer_that_is_removed_are_reset(
        self, pair: FastPair, infos: pytest.LogCaptureFixture
    ) -> None:
        application, target = await in_use(pair)
        gone = pair.client_peer
        pair.server_node.remove(gone)
        assert await target.is_reset()
        assert f"peer {gone.short} was removed, its streams are reset: 1" in infos.messages
        pair.client_node.remove(pair.peer)
        assert await application.is_reset()

    @pytest.mark.parametrize("road", [RoadPolicy.AUTO, RoadPolicy.TUNTOX])
    async def test_streams_to_what_the_peer_may_not_reach_any_more_are_reset(
        self, no_descriptor_is_left: None, infos: pytest.LogCaptureFixture, road: RoadPolicy
    ) -> None:
        async with FastPair(road) as pair:
            if road is RoadPolicy.AUTO:
                await pair.until_fast()
            application, target = await in_use(pair)
            pair.allowed = [f"127.0.0.1:{pair.target.port}"]
            pair.server.judge_again()
            await application.send(b"still")
            assert await target.receive(5) == b"still"
            pair.allowed = ["127.0.0.1:1"]
            pair.server.judge_again()
            assert await application.is_reset()
            assert await target.is_reset()
        assert "streams to what their peers may not reach any more are reset: 1" in infos.messages

    @pytest.mark.parametrize("side", ["calling", "serving"])
    async def test_who_ends_resets_the_streams_of_the_other(self, pair: FastPair, side: str) -> None:
        """The farewell gets out before the stack is taken down."""
        joined = [await in_use(pair) for _ in range(20)]
        await getattr(pair, side).close()
        for application, target in joined:
            assert await application.is_reset()
            assert await target.is_reset()

    async def test_a_road_that_leads_nowhere(
        self, pair: FastPair, infos: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first stream takes the other one after a time, the next at once, until it is good again."""
        monkeypatch.setattr(road_module, "FIRST_ANSWER_S", 0.2)
        monkeypatch.setattr(choice, "TRY_AGAIN_S", 0.0)
        pair.unplug()
        application, target = await pair.joined()
        await application.send(BULK)
        assert await target.receive(len(BULK)) == BULK
        reason = "the peer's private stack cannot be reached: no answer in 0.2 s"
        assert pair.calling.chooser.choice(pair.peer) == ("tuntox", reason)
        assert infos.messages[-1:] == [f"peer {pair.peer.short}: streams take the tuntox road: {reason}"]
        pair.plug()
        await pair.until_fast()
        await in_use(pair)
        assert infos.messages[-1].endswith("streams take the fast road: both sides have it")


class Killed:
    """The helper process of the private stack, and its death."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stacks: list[Stack] = []
        start = Stack.start.__func__  # type: ignore[attr-defined]

        async def remembered(cls: type[Stack], *wanted: object) -> Stack:
            self.stacks.append(await start(cls, *wanted))
            return self.stacks[-1]

        monkeypatch.setattr(Stack, "start", classmethod(remembered))

    def kill(self, number: int) -> None:
        os.kill(self.stacks[number]._helper.pid, signal.SIGKILL)


class TestTheStack:
    async def test_a_helper_that_is_killed_resets_streams_and_comes_again(
        self, no_descriptor_is_left: None, infos: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed = Killed(monkeypatch)
        monkeypatch.setattr(roads, "NEW_STACK_S", 0.05)
        async with FastPair() as pair:
            await pair.until_fast()
            for number in (0, 1):
                application, target = await in_use(pair)
                killed.kill(number)
                assert await application.is_reset()
                assert await target.is_reset()
                await until(lambda: pair.road == "tuntox")
                await pair.until_fast()
        lost = [message for message in infos.messages if "is lost" in message]
        line = "the private stack is lost, its streams are reset: the helper process has ended with status -9"
        assert lost == [line, line]

    async def test_where_it_cannot_be_had_streams_take_the_other_road(
        self, no_descriptor_is_left: None, infos: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is tried again, and logged once; then the fast road is taken."""
        monkeypatch.setattr(roads, "NEW_STACK_S", 0.0)
        refusals = 10
        start = Stack.start.__func__  # type: ignore[attr-defined]

        async def refused(cls: type[Stack], *wanted: object) -> Stack:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise StackUnavailableError(REFUSED)
            started: Stack = await start(cls, *wanted)
            return started

        monkeypatch.setattr(Stack, "start", classmethod(refused))
        async with FastPair() as pair:
            application, target = await pair.joined()
            await application.send(b"hello")
            assert await target.receive(5) == b"hello"
            await pair.until_fast()
            await in_use(pair)
        assert [message for message in infos.messages if "road" in message] == [
            f"no fast road: {REFUSED}",  # the server
            f"peer {pair.peer.short}: streams take the tuntox road: {REFUSED}",
            f"peer {pair.peer.short}: streams take the fast road: both sides have it",
        ]

    async def test_it_is_tried_again_ever_less_often(
        self, no_descriptor_is_left: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pauses: list[float] = []
        for_ever = asyncio.get_running_loop().create_future()

        async def refused(cls: type[Stack], *wanted: object) -> Stack:
            raise StackUnavailableError(REFUSED)

        async def slept(pause_s: float) -> None:
            pauses.append(pause_s)
            if len(pauses) == 8:
                await for_ever

        monkeypatch.setattr(Stack, "start", classmethod(refused))
        monkeypatch.setattr(asyncio, "sleep", slept)
        network = Network()
        node = network.node()
        made = Roads(node, OwnStatus(node), RoadPolicy.AUTO)
        async with asyncio.timeout(10):
            while len(pauses) < 8:
                await asyncio.gather(made.chooser.settled.wait())
        await made.close()
        network.close()
        assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]

    async def test_a_bug_in_it_does_not_stop_the_other_road(
        self, no_descriptor_is_left: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(cls: type[Stack], *wanted: object) -> Stack:
            raise RuntimeError("a bug")

        monkeypatch.setattr(Stack, "start", classmethod(broken))
        async with FastPair() as pair:
            application, target = await pair.joined()
            await application.send(b"hello")
            assert await target.receive(5) == b"hello"
            assert pair.calling.chooser.choice(pair.peer) == ("tuntox", "an error of toxvpn itself")
        assert "a bug" in caplog.text

    async def test_road_tuntox_needs_none(self, no_descriptor_is_left: None) -> None:
        async with FastPair(RoadPolicy.TUNTOX) as pair:
            await until(lambda: offers(pair.peer))
            await pair.joined()
            assert pair.calling.chooser.choice(pair.peer) == ("tuntox", "--road tuntox")

    async def test_who_serves_offers_it_as_long_as_it_does(self, pair: FastPair) -> None:
        assert offers(pair.peer)
        await pair.serving.close()
        await until(lambda: not offers(pair.peer))
