"""A speed test over two private stacks, one of which starts for it; the kernel counts what is sent again."""

import pytest

from toxvpn.tcpforward.speed import client as client_module
from toxvpn.tcpforward.speed.client import SpeedClient
from toxvpn.tcpforward.speed.server import SpeedServer
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fast_pair import FastPair
from toxvpn.testing.forward_pair import in_time
from toxvpn.wire.speed import book
from toxvpn.wire.speed.messages import NAME
from toxvpn.wire.statusmessage import decode

pytestmark = pytest.mark.real

SECONDS = 0.5


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((client_module, "IDLE_S"), (client_module, "PING_INTERVAL_S"), (book, "LEAST_S")):
        monkeypatch.setattr(module, name, 0.05)


async def until_known(pair: FastPair) -> None:
    """Until the client has read that the server is a toxvpn."""
    await until(lambda: decode(pair.peer.status_text or b"").toxvpn is not None)


async def test_the_stack_of_a_peer_starts_when_it_is_asked_for(no_descriptor_is_left: None) -> None:
    async with FastPair(when_asked=True) as pair:
        await until_known(pair)
        pair.builtins.offer(NAME, SpeedServer(lambda _: True, pair.serving.segments).builtin)
        client = SpeedClient(pair.caller, pair.calling.chooser, lambda _: None, lambda _: None)
        result = (await in_time(client.measure(SECONDS))).document()
    assert result["road"] == "fast"
    for direction in (result["down"], result["up"]):
        assert direction["bits_per_second"] > 10_000_000
        assert direction["tcp_segments"] > 100
        assert 0 <= direction["tcp_segments_resent"] <= direction["tcp_segments"]


async def test_a_target_that_is_not_offered_starts_no_stack(no_descriptor_is_left: None) -> None:
    async with FastPair(when_asked=True) as pair:
        await until_known(pair)
        client = SpeedClient(pair.caller, pair.calling.chooser, lambda _: None, lambda _: None)
        with pytest.raises(Exception, match="does not have this"):
            await in_time(client.measure(SECONDS))
        assert pair.serving._stack_task is None
