"""The control socket of a run: it answers while the run goes on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from toxvpn.config.options import NodeOptions
from toxvpn.control.client import call
from toxvpn.control.status_reader import StatusReader
from toxvpn.daemon.control import controlled
from toxvpn.daemon.measured import Measured
from toxvpn.daemon.node import RunningNode, running_node
from toxvpn.errors import PeerOfflineError, PeerRefusedError, ToxvpnError
from toxvpn.members.friends import Authority
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.tcpforward.tuntox.road import TuntoxRoad
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fake_tox import FakeNetwork, FakeTox
from toxvpn.tox.peer import Peer


@pytest.fixture
async def run(
    nodes_file: Path, network: FakeNetwork, tmp_path: Path, lifecycle: Lifecycle
) -> AsyncIterator[RunningNode]:
    async with running_node(NodeOptions(nodes_file=nodes_file), tmp_path / "own", lifecycle) as made:
        made.node.start()
        yield made


async def ask(directory: Path, do: str, **arguments: Any) -> Any:
    return await asyncio.to_thread(lambda: call(directory, do, **arguments))


async def test_it_answers_while_the_run_goes_on(run: RunningNode, tmp_path: Path) -> None:
    road = TuntoxRoad(run.node)
    status = StatusReader(run.node, "server")
    async with controlled(run, tmp_path, status, road, Measured(run.node, run.prober, road)):
        assert (await ask(tmp_path, "status"))["self"]["mode"] == "server"
        with pytest.raises(ToxvpnError, match="another toxvpn runs with"):
            async with controlled(run, tmp_path, status, road, Measured(run.node, run.prober, road)):
                pass
        with pytest.raises(ToxvpnError, match="cannot do 'peer-add'"):
            await ask(tmp_path, "peer-add", peer="x")
        await ask(tmp_path, "down")
        await asyncio.wait_for(run.stopping.wait(), 10)
    assert not (tmp_path / "control.sock").exists()
    await road.close()


async def test_a_ping_is_remembered(run: RunningNode, network: FakeNetwork, tmp_path: Path) -> None:
    other = FakeTox(network)
    peer = run.node.accept(other.public_key)
    other.friend_add_norequest(run.node.tox.public_key)
    road = TuntoxRoad(run.node)

    async def pong(peer: Peer) -> float:
        road.link(peer).rtt_s = 0.25
        return 0.25

    road.ping = pong  # type: ignore[method-assign]
    measured = Measured(run.node, run.prober, road)
    status = StatusReader(run.node, "server", run.roster(Authority()), measured=measured)
    async with controlled(run, tmp_path, status, road, measured):
        digits = peer.public_key.hex()
        await until(lambda: peer.online)
        assert (await ask(tmp_path, "ping", peer=digits))["rtt_seconds"] == 0.25
        [state] = (await ask(tmp_path, "status"))["peers"]
        assert state["rtt_seconds"] == 0.25
        network.set_online(False)
        await until(lambda: not peer.online)
        with pytest.raises(PeerOfflineError):
            await ask(tmp_path, "ping", peer=digits)
        run.node.remove(peer)
        with pytest.raises(PeerRefusedError):
            await ask(tmp_path, "ping", peer=digits)
    other.close()
    await road.close()
