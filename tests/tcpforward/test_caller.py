"""The calling side while its peer is away; with it there: tuntox/test_road.py."""

from collections.abc import AsyncIterator

import pytest

from toxvpn.errors import PeerOfflineError
from toxvpn.tcpforward import caller
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import ForwardPair


@pytest.fixture
async def pair(no_descriptor_is_left: None) -> AsyncIterator[ForwardPair]:
    """Its peer has not come yet."""
    async with ForwardPair() as made:
        made.network.tox.set_online(False)
        await until(lambda: not made.peer.online)
        yield made


async def test_a_connection_made_before_waits_for_the_peer(pair: ForwardPair) -> None:
    application = await pair.connect(pair.forward())
    await application.send(b"early")
    pair.network.tox.set_online(True)
    target = await pair.accept()
    assert await target.receive(5) == b"early"


async def test_a_peer_that_does_not_come_resets_the_connection(
    pair: ForwardPair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caller, "WAIT_FOR_PEER_S", 0.01)
    application = await pair.connect(pair.forward())
    assert await application.is_reset()
    assert f"127.0.0.1:{pair.target.port}: the peer was not reached" in caplog.text


async def test_a_peer_that_is_there_already(pair: ForwardPair) -> None:
    pair.network.tox.set_online(True)
    await until(lambda: pair.peer.online)
    later = caller.Caller(pair.client_node, pair.peer, pair.client_road)
    await later.wait_online(0.01)


async def test_only_its_own_peer_counts(pair: ForwardPair) -> None:
    pair.network.tox.set_online(True)
    other = pair.network.node()
    stranger = pair.client_node.accept(other.tox.public_key)
    waiting = caller.Caller(pair.client_node, stranger, pair.client_road)
    await until(lambda: pair.peer.online)
    with pytest.raises(PeerOfflineError):
        await waiting.wait_online(0.01)
