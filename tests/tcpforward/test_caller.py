"""The calling side while its peer is away; with it there: tuntox/test_road.py."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from toxvpn.errors import PeerOfflineError
from toxvpn.tcpforward import caller
from toxvpn.tcpforward.ends import End
from toxvpn.tcpforward.road import StreamOpenError
from toxvpn.tcpforward.spec import Target
from toxvpn.tcpforward.target import TargetRefusedError
from toxvpn.tcpforward.unix.paths import WIRE_PORT
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import OUR_STATUS, ForwardPair, in_time
from toxvpn.tox.peer import Peer
from toxvpn.wire.socks5 import ReplyCode


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


async def older(peer: Peer, host: str, port: int) -> End:
    """A toxvpn that takes the path for a name."""
    raise TargetRefusedError(ReplyCode.HOST_UNREACHABLE, "no such name")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (b"", "the peer runs tuntox, which does not have Unix sockets"),
        (OUR_STATUS, "the peer's toxvpn does not have Unix sockets"),
    ],
)
async def test_a_program_without_unix_sockets_is_named(
    status: bytes, why: str, no_descriptor_is_left: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with ForwardPair(serve=older) as pair:
        pair.server_node.tox.status_message = status
        await until(lambda: pair.peer.status_text == status)
        application = await pair.connect(pair.forward(Target("/run/a.sock", WIRE_PORT)))
        assert await application.is_reset()
        assert f"/run/a.sock: {why}" in caplog.text


async def test_a_peer_is_asked_only_when_it_has_said_what_it_runs(no_descriptor_is_left: None) -> None:
    asked = list[str]()

    async def serve(peer: Peer, host: str, port: int) -> End:
        asked.append(host)
        return await older(peer, host, port)

    async with ForwardPair(serve=serve) as pair:
        await until(lambda: pair.peer.status_text == OUR_STATUS)
        pair.peer.status_text = None
        opening = asyncio.create_task(pair.caller.open(Target("@name", 1)))
        await asyncio.sleep(0)
        pair.client_node.on_friend_status_message(pair.peer.number, b"")
        with pytest.raises(StreamOpenError, match="the peer runs tuntox"):
            await in_time(opening)
    assert not asked
