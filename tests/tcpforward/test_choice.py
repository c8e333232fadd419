"""Every branch of the choice, on scripted roads."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import cast

import pytest

from toxvpn._native.results import Connection
from toxvpn.errors import PeerOfflineError, ToxvpnError
from toxvpn.tcpforward import choice as module
from toxvpn.tcpforward.choice import RoadChooser
from toxvpn.tcpforward.fast.road import FastRoad, RoadBrokenError
from toxvpn.tcpforward.fast.stack import StackUnavailableError
from toxvpn.tcpforward.road import STATUS_S, StreamOpenError
from toxvpn.tcpforward.spec import RoadPolicy
from toxvpn.tcpforward.tuntox.road import TuntoxRoad
from toxvpn.testing.fake_nodes import until
from toxvpn.tox.node import Node
from toxvpn.tox.peer import Peer
from toxvpn.wire.socks5 import ReplyCode
from toxvpn.wire.statusmessage import Status, ToxvpnStatus, encode

OFFERS = encode(Status(toxvpn=ToxvpnStatus(fast=True)))
OLDER = b'{"toxvpn":{"v":1}}'
TUNTOX = b""


class FakeRoad:
    """Opens "streams" that are its own name, or fails as asked; probes wait until they are answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened: list[tuple[str, int]] = []
        self.failure: ToxvpnError | None = None
        self.probes: asyncio.Queue[Exception | None] = asyncio.Queue()
        self.probing = 0
        self.pings: list[Peer] = []
        self.silent = False

    async def open(self, peer: Peer, host: str, port: int) -> str:
        self.opened.append((host, port))
        if self.failure is not None:
            raise self.failure
        return self.name

    async def ping(self, peer: Peer) -> float:
        self.pings.append(peer)
        if self.failure is not None:
            raise self.failure
        if self.silent:
            await asyncio.get_running_loop().create_future()
        return 0.001

    async def probe(self, peer: Peer) -> None:
        self.probing += 1
        if (failure := await self.probes.get()) is not None:
            raise failure


class FakeNode:
    """Its clock goes on by a second whenever somebody looks at it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.peers: dict[bytes, Peer] = {}

    def now(self) -> float:
        self.now_s += 1
        return self.now_s

    def peer(self, public_key: bytes) -> Peer | None:
        return self.peers.get(public_key)


class Scene:
    def __init__(self) -> None:
        self.node = FakeNode()
        self.fast, self.tuntox = FakeRoad("fast"), FakeRoad("tuntox")
        self.chooser = self.made(RoadPolicy.AUTO)
        self.peer = self.a_peer(1, OFFERS)

    def made(self, wanted: RoadPolicy) -> RoadChooser:
        self.chooser = RoadChooser(cast(Node, self.node), cast(TuntoxRoad, self.tuntox), wanted)
        return self.chooser

    def a_peer(self, number: int, status: bytes | None) -> Peer:
        peer = Peer(number, bytes([number]) * 32, Connection.UDP, status)
        self.node.peers[peer.public_key] = peer
        return peer

    def stack_is_up(self) -> None:
        self.chooser.stack_is_up(cast(FastRoad, self.fast))

    async def open(self, peer: Peer | None = None) -> str:
        """The road that it took."""
        stream = await self.chooser.open(peer or self.peer, "localhost", 22)
        assert (self.fast if str(stream) == "fast" else self.tuntox).opened[-1] == ("localhost", 22)
        return str(stream)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    await made.chooser.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.001)


@pytest.fixture
def infos(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "toxvpn.tcpforward")
    return caplog


async def test_the_fast_road_where_both_sides_have_it(scene: Scene, infos: pytest.LogCaptureFixture) -> None:
    scene.stack_is_up()
    assert await scene.open() == "fast"
    assert scene.chooser.choice(scene.peer) == ("fast", "both sides have it")
    assert infos.messages == ["peer 01010101: streams take the fast road: both sides have it"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (TUNTOX, "the peer is not a toxvpn"),
        (b"Toxing on", "the peer is not a toxvpn"),
        (b'{"mode":"tun","ownip":"10.0.0.1"}', "the peer is not a toxvpn"),
        (OLDER, "the peer does not offer the fast road"),
    ],
)
async def test_a_peer_that_does_not_have_it(
    status: bytes, reason: str, scene: Scene, infos: pytest.LogCaptureFixture
) -> None:
    scene.stack_is_up()
    peer = scene.a_peer(2, status)
    assert await scene.open(peer) == "tuntox"
    assert scene.chooser.choice(peer) == ("tuntox", reason)
    assert infos.messages == [f"peer 02020202: streams take the tuntox road: {reason}"]
    assert not scene.fast.opened


async def test_a_machine_that_does_not_allow_it(scene: Scene, infos: pytest.LogCaptureFixture) -> None:
    scene.chooser.no_stack("no /dev/net/tun")
    assert await scene.open() == "tuntox"
    assert scene.chooser.choice(scene.peer) == ("tuntox", "no /dev/net/tun")
    assert infos.messages == ["peer 01010101: streams take the tuntox road: no /dev/net/tun"]


async def test_a_stack_that_comes_later_is_taken(scene: Scene) -> None:
    scene.chooser.no_stack("not today")
    assert await scene.open() == "tuntox"
    scene.stack_is_up()
    assert await scene.open() == "fast"


async def test_the_first_stream_waits_until_there_is_a_stack_or_not(scene: Scene) -> None:
    opening = asyncio.create_task(scene.open())
    await asyncio.sleep(0)
    assert not opening.done()
    assert scene.chooser.choice(scene.peer) == ("tuntox", "the private stack is not up yet")
    scene.stack_is_up()
    assert await opening == "fast"


async def test_the_first_stream_waits_for_the_status_message(scene: Scene) -> None:
    scene.stack_is_up()
    peer = scene.a_peer(2, None)
    opening = asyncio.create_task(scene.open(peer))
    await asyncio.sleep(0)
    assert not opening.done()
    peer.status_text = OFFERS
    assert await opening == "fast"


async def test_it_does_not_wait_for_ever_for_a_status_message(scene: Scene) -> None:
    scene.stack_is_up()
    peer = scene.a_peer(2, None)
    assert await scene.open(peer) == "tuntox"
    assert scene.node.now_s > STATUS_S


async def test_it_does_not_wait_for_the_status_message_of_a_peer_that_leaves(scene: Scene) -> None:
    scene.stack_is_up()
    peer = scene.a_peer(2, None)
    peer.connection = Connection.NONE
    scene.tuntox.failure = PeerOfflineError("gone")
    with pytest.raises(PeerOfflineError):
        await scene.open(peer)
    assert scene.node.now_s < STATUS_S


async def test_a_change_is_told_once(scene: Scene, infos: pytest.LogCaptureFixture) -> None:
    scene.stack_is_up()
    for status in (OFFERS, OFFERS, OLDER, OLDER, OFFERS):
        scene.peer.status_text = status
        await scene.open()
    assert [message.split(" ", 2)[2] for message in infos.messages] == [
        "streams take the fast road: both sides have it",
        "streams take the tuntox road: the peer does not offer the fast road",
        "streams take the fast road: both sides have it",
    ]


BROKEN = "the peer's private stack cannot be reached: no answer in 3 s"


@pytest.mark.parametrize("failure", [RoadBrokenError(BROKEN), StackUnavailableError(BROKEN)])
async def test_a_fast_road_that_leads_nowhere(
    failure: ToxvpnError, scene: Scene, infos: pytest.LogCaptureFixture
) -> None:
    """That stream and the next ones take the other road; only the first one has waited."""
    scene.stack_is_up()
    other = scene.a_peer(2, OFFERS)
    scene.fast.failure = failure
    assert await scene.open() == "tuntox"
    assert await scene.open() == "tuntox"
    assert len(scene.fast.opened) == 1
    assert scene.chooser.choice(scene.peer) == ("tuntox", BROKEN)
    assert infos.messages == [f"peer 01010101: streams take the tuntox road: {BROKEN}"]
    assert scene.chooser.choice(other)[0] == "fast", "that was about one peer"
    assert scene.fast.probing == 0, "it is not tried again at once"


async def test_it_does_not_count_as_broken_while_the_other_one_is_as_well(
    scene: Scene, infos: pytest.LogCaptureFixture
) -> None:
    scene.stack_is_up()
    scene.tuntox.silent = True
    scene.fast.failure = RoadBrokenError(BROKEN)
    opening = asyncio.create_task(scene.open())
    await until(lambda: len(scene.fast.opened) > 2)
    assert scene.tuntox.pings
    scene.fast.failure = None
    assert await opening == "fast"
    assert not scene.tuntox.opened
    assert infos.messages == ["peer 01010101: streams take the fast road: both sides have it"]


async def test_a_peer_that_answers_on_neither_is_given_up(scene: Scene) -> None:
    scene.stack_is_up()
    scene.tuntox.silent = True
    scene.fast.failure = RoadBrokenError(BROKEN)
    with pytest.raises(StreamOpenError, match="on neither road for 30 s") as failed:
        await scene.open()
    assert failed.value.code is ReplyCode.TIMED_OUT
    assert 1 < len(scene.fast.opened) <= module.NEITHER_S
    assert scene.chooser.choice(scene.peer)[0] == "fast", "nothing is known against it"


async def test_a_peer_that_is_lost_meanwhile(scene: Scene) -> None:
    scene.stack_is_up()
    scene.tuntox.failure = PeerOfflineError("gone")
    scene.fast.failure = RoadBrokenError(BROKEN)
    opening = asyncio.create_task(scene.open())
    await until(lambda: len(scene.fast.opened) > 2)
    scene.fast.failure = PeerOfflineError("gone")
    with pytest.raises(PeerOfflineError):
        await opening


async def test_a_stream_that_opens_at_once_asks_nobody_else(scene: Scene) -> None:
    scene.stack_is_up()
    await asyncio.gather(*(scene.open() for _ in range(10)))
    assert not scene.tuntox.pings


async def test_it_is_tried_again_until_it_works(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_AGAIN_S", 0.0)
    scene.stack_is_up()
    scene.fast.failure = RoadBrokenError(BROKEN)
    await asyncio.gather(scene.open(), scene.open())
    scene.fast.failure = None
    for answer in (RoadBrokenError(BROKEN), PeerOfflineError("gone"), None):
        await until(lambda: scene.fast.probing)
        scene.fast.probing = 0
        assert await scene.open() == "tuntox"
        scene.fast.probes.put_nowait(answer)
    await until(lambda: scene.chooser.choice(scene.peer)[0] == "fast")
    assert await scene.open() == "fast"
    assert not scene.fast.probing


async def test_whatever_asking_fails_of_the_road_is_not_avoided_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRY_AGAIN_S", 0.0)
    scene.stack_is_up()
    scene.fast.failure = RoadBrokenError(BROKEN)
    await scene.open()
    scene.fast.failure = None
    [probe] = scene.chooser._probes
    scene.fast.probes.put_nowait(RuntimeError("of the test"))
    with pytest.raises(RuntimeError):
        await probe
    assert await scene.open() == "fast"


async def test_nobody_asks_a_peer_that_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_AGAIN_S", 0.0)
    scene.stack_is_up()
    scene.fast.failure = RoadBrokenError(BROKEN)
    await scene.open()
    scene.peer.connection = Connection.NONE
    for _ in range(10):
        await asyncio.sleep(0)
    assert scene.fast.probing == 0
    del scene.node.peers[scene.peer.public_key]
    await until(lambda: not scene.chooser._probes)
    assert scene.fast.probing == 0


async def test_without_a_stack_there_is_nothing_to_ask_with(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRY_AGAIN_S", 0.0)
    scene.stack_is_up()
    scene.fast.failure = RoadBrokenError(BROKEN)
    await scene.open()
    scene.chooser.no_stack("the helper process has ended")
    for _ in range(10):
        await asyncio.sleep(0)
    assert scene.fast.probing == 0
    assert scene.chooser.choice(scene.peer) == ("tuntox", "the helper process has ended")


async def test_what_the_target_says_is_no_reason_to_take_another_road(scene: Scene) -> None:
    scene.stack_is_up()
    for failure in (StreamOpenError(ReplyCode.CONNECTION_REFUSED, "refused"), PeerOfflineError("gone")):
        scene.fast.failure = failure
        with pytest.raises(type(failure)):
            await scene.open()
    assert not scene.tuntox.opened
    assert scene.chooser.choice(scene.peer)[0] == "fast"


async def test_road_tuntox_never_takes_the_fast_one(scene: Scene, infos: pytest.LogCaptureFixture) -> None:
    scene.made(RoadPolicy.TUNTOX)
    assert await scene.open() == "tuntox"
    assert infos.messages == ["peer 01010101: streams take the tuntox road: --road tuntox"]


async def test_road_fast_never_takes_the_other_one(scene: Scene) -> None:
    scene.made(RoadPolicy.FAST)
    scene.stack_is_up()
    assert await scene.open() == "fast"
    with pytest.raises(ToxvpnError, match=r"^--road fast: the peer does not offer the fast road$"):
        await scene.open(scene.a_peer(2, OLDER))
    scene.fast.failure = RoadBrokenError(BROKEN)
    for _ in range(2):
        with pytest.raises(ToxvpnError, match=f"^--road fast: {BROKEN}$"):
            await scene.open()
    scene.chooser.no_stack("no /dev/net/tun")
    with pytest.raises(ToxvpnError, match=r"^--road fast: no /dev/net/tun$"):
        await scene.open()
    assert not scene.tuntox.opened
