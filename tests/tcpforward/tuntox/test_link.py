"""The link to one peer: what it knows at the start, the peer's requests, what toxcore does not take."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from toxvpn._native.results import Connection, SendResult
from toxvpn.tcpforward.tuntox.link import TuntoxLink
from toxvpn.tcpforward.tuntox.retries import SendRetries
from toxvpn.testing.fake_nodes import Network
from toxvpn.testing.forward_pair import in_time
from toxvpn.tox.node import Node
from toxvpn.tox.peer import Peer
from toxvpn.wire.statusmessage import Status, ToxvpnStatus, encode
from toxvpn.wire.tuntox.events import OpenRequested, RequestCancelled
from toxvpn.wire.tuntox.frames import Version

REQUEST = OpenRequested(handle=3, host="localhost", port=22)


class Scene:
    """A link to a peer that is online and a toxvpn, and whose path carries 1000 bytes."""

    def __init__(self, node: Node, peer: Peer) -> None:
        self.node, self.peer = node, peer
        peer.status_text = encode(Status(toxvpn=ToxvpnStatus()))
        peer.packet_bytes = 1000
        self.retries = SendRetries(node)
        self.link = TuntoxLink(node, peer, self.retries, self._serve)

    def _serve(self, link: TuntoxLink, request: OpenRequested) -> "asyncio.Task[None]":
        return asyncio.create_task(asyncio.sleep(3600))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    network = Network()
    node, _ = network.pair()
    [peer] = node
    assert peer.online
    made = Scene(node, peer)
    yield made
    made.retries.close()
    network.close()


async def test_what_is_known_of_a_peer_holds_from_the_start(scene: Scene) -> None:
    tunnels = scene.link.tunnels
    assert (tunnels.online, tunnels.version, tunnels._outbox.packet_bytes) == (True, Version.V2, 1000)


async def test_a_request_that_the_peer_takes_back_is_served_no_longer(scene: Scene) -> None:
    scene.link._on_event(REQUEST)
    [serving] = scene.link.requests.values()
    assert not scene.link.idle
    scene.link._on_event(RequestCancelled(REQUEST.handle))
    with pytest.raises(asyncio.CancelledError):
        await in_time(serving)
    assert scene.link.idle


@pytest.mark.parametrize("stays", [True, False])
async def test_what_toxcore_refuses_is_sent_again_unless_the_peer_has_left(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    def refuse(peer: Peer, packet: bytes) -> SendResult:
        if not stays:
            peer.connection = Connection.NONE
        return SendResult.QUEUE_FULL

    monkeypatch.setattr(scene.node, "send_lossless", refuse)
    scene.link.tunnels.ping(0.0)
    assert scene.link.driver.send() == 0
    assert scene.retries.is_blocked(scene.link.driver) is stays


async def test_a_timer_after_the_end_of_the_node_does_nothing(scene: Scene) -> None:
    """Without an answer for what was sent, toxcore's tail would be asked for."""
    driver = scene.link.driver
    scene.link.tunnels.ping(driver.now())
    driver.send()
    scene.node.close()
    driver.now = lambda: asyncio.get_running_loop().time() + 60  # type: ignore[method-assign]
    driver._on_timer()


async def test_a_peer_that_has_just_left_or_come_is_not_asked(scene: Scene) -> None:
    """The peer is told of first, and its tunnels then."""
    driver = scene.link.driver
    scene.link.tunnels.ping(driver.now())
    driver.send()
    scene.link.tunnels.connection_lost()
    assert scene.link.peer.online
    driver.now = lambda: asyncio.get_running_loop().time() + 60  # type: ignore[method-assign]
    driver._on_timer()
    assert driver._tail.next_s is None
