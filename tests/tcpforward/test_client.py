"""The calling side while its peer is away; with it there: test_lossless.py."""

from collections.abc import AsyncIterator

import pytest

from toxvpn.errors import PeerOfflineError
from toxvpn.tcpforward import client
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forwarding import Forwarding


@pytest.fixture
async def forwarding(no_descriptor_is_left: None) -> AsyncIterator[Forwarding]:
    """Its peer has not come yet."""
    async with Forwarding() as made:
        made.network.tox.set_online(False)
        await until(lambda: not made.peer.online)
        yield made


async def test_a_connection_made_before_waits_for_the_peer(forwarding: Forwarding) -> None:
    application = await forwarding.connect(forwarding.forward())
    await application.send(b"early")
    forwarding.network.tox.set_online(True)
    target = await forwarding.accept()
    assert await target.receive(5) == b"early"


async def test_a_peer_that_does_not_come_resets_the_connection(
    forwarding: Forwarding, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "WAIT_FOR_PEER_S", 0.01)
    application = await forwarding.connect(forwarding.forward())
    assert await application.is_reset()
    assert f"127.0.0.1:{forwarding.target.port}: the peer was not reached" in caplog.text


async def test_a_peer_that_is_there_already(forwarding: Forwarding) -> None:
    forwarding.network.tox.set_online(True)
    await until(lambda: forwarding.peer.online)
    later = client.Client(forwarding.client_node, forwarding.peer, forwarding.client_road)
    await later.wait_online(0.01)


async def test_only_its_own_peer_counts(forwarding: Forwarding) -> None:
    forwarding.network.tox.set_online(True)
    other = forwarding.network.node()
    stranger = forwarding.client_node.accept(other.tox.public_key)
    waiting = client.Client(forwarding.client_node, stranger, forwarding.client_road)
    await until(lambda: forwarding.peer.online)
    with pytest.raises(PeerOfflineError):
        await waiting.wait_online(0.01)
