"""What the control socket of a run tells of it: the states as its parts have them."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from toxvpn._native import toxcore
from toxvpn._native.flaws import ANNOUNCE
from toxvpn._native.net import netio
from toxvpn._native.path.packets import Counters, DropReason
from toxvpn.config.options import NodeOptions
from toxvpn.control.client import call
from toxvpn.control.status import ShieldState
from toxvpn.daemon.control import Source, controlled
from toxvpn.daemon.node import Base, base
from toxvpn.errors import PeerOfflineError, PeerRefusedError, ToxvpnError
from toxvpn.members.grants import Authority
from toxvpn.tcpforward.tuntox.road import TuntoxRoad
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fake_tox import FakeNetwork, FakeTox
from toxvpn.tun.router import NetworkPeer
from toxvpn.tun.vpn import Vpn
from toxvpn.wire.addressbook import AddressRefusal
from toxvpn.wire.addressing import overlay_ipv6

NO_DROPS = dict.fromkeys(DropReason, 0)


class FakeVpn:
    """One with a single member."""

    def __init__(self, member: NetworkPeer, counters: Counters) -> None:
        key = member.peer.public_key
        self.ipv6: IPv6Address | None = IPv6Address("fd74:6f78::1")
        self.interface, self.up = "tox0", True
        self.datapath = SimpleNamespace(drops=NO_DROPS | {DropReason.NO_ROUTE: 3}, refused=("TCP",))
        self.router = SimpleNamespace(
            own_ipv4=IPv4Address("100.64.0.1"),
            peer=lambda public_key: member if public_key == key else None,
            counters=lambda public_key: counters if public_key == key else None,
        )


@pytest.fixture
async def run(nodes_file: Path, network: FakeNetwork, tmp_path: Path) -> AsyncIterator[Base]:
    async with base(NodeOptions(nodes_file=nodes_file), tmp_path / "own") as made:
        made.node.start()
        yield made


async def ask(directory: Path, do: str, **arguments: Any) -> Any:
    return await asyncio.to_thread(lambda: call(directory, do, **arguments))


async def test_of_a_server(run: Base, network: FakeNetwork) -> None:
    other = FakeTox(network)
    peer = run.node.accept(other.public_key)
    source = Source(run, "server", run.roster(Authority()))
    own = source.self_state()
    assert (own.mode, own.ipv4, own.interface, own.drops) == ("server", None, None, {})
    [state] = source.peers()
    assert (state.public_key, state.ipv4, state.ipv6) == (
        peer.public_key, None, overlay_ipv6(peer.public_key),
    )  # fmt: skip
    assert [*source.pending(), *source.forwards()] == []
    cast(FakeTox, run.node.tox).unaccepted_packets = 7
    assert source.self_state().drops == {"unheard": 7}
    other.close()


async def test_the_shield_is_told_where_there_is_one_to_be(
    run: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toxcore, "FLAW", ANNOUNCE)
    monkeypatch.setattr(netio, "shield", lambda: netio.Hook(True, ""))
    monkeypatch.setattr(netio, "counters", lambda: {"shielded": 5})
    told = Source(run, "server", run.roster(Authority())).self_state().shield
    assert told == ShieldState(flaw="GHSA-42vg-9mg3-399f", in_force=True, dropped=5)
    monkeypatch.setattr(netio, "shield", lambda: None)
    assert Source(run, "server", run.roster(Authority())).self_state().shield is None


async def test_of_a_vpn(run: Base) -> None:
    peer, outsider = (run.node.accept(bytes([number]) * 32) for number in (1, 2))
    ways = {IPv4Address("100.64.0.2"): IPv4Address("100.64.0.1")}
    refused = IPv4Address("10.1.2.3"), AddressRefusal.CHOSEN
    member = NetworkPeer(peer, overlay_ipv6(peer.public_key), ways, *refused)
    counters = Counters(1, 100, 2, 200, NO_DROPS | {DropReason.TOO_BIG: 4})
    vpn = FakeVpn(member, counters)
    source = Source(run, "up", run.roster(Authority()), cast(Vpn, vpn))
    own = source.self_state()
    assert (own.ipv4, own.ipv6) == (vpn.router.own_ipv4, vpn.ipv6)
    assert (own.interface, own.interface_up) == ("tox0", True)
    assert own.drops == {"no_route": 3}
    cast(FakeTox, run.node.tox).unaccepted_packets = 7
    assert source.self_state().drops == {"no_route": 3, "unheard": 7}
    assert own.refused_offload == ("TCP",)
    states = {state.public_key: state for state in source.peers()}
    inside, outside = states[peer.public_key], states[outsider.public_key]
    assert (inside.ipv4, inside.rx_bytes, inside.tx_bytes) == (member.ipv4, 100, 200)
    assert inside.drops == {"too_big": 4}
    assert inside.address_problem == member.address_problem and "10.1.2.3" in str(inside.address_problem)
    assert (outside.ipv4, outside.ipv6, outside.rx_bytes, outside.drops) == (None, None, 0, {})
    vpn.ipv6 = None
    assert source.self_state().ipv6 is None


async def test_it_answers_while_the_run_goes_on(run: Base, tmp_path: Path) -> None:
    road = TuntoxRoad(run.node)
    source = Source(run, "server")
    async with controlled(run, tmp_path, source, road):
        assert (await ask(tmp_path, "status"))["self"]["mode"] == "server"
        with pytest.raises(ToxvpnError, match="another toxvpn runs with"):
            async with controlled(run, tmp_path, source, road):
                pass
        with pytest.raises(ToxvpnError, match="cannot do 'peer-add'"):
            await ask(tmp_path, "peer-add", peer="x")
        await ask(tmp_path, "down")
        await asyncio.wait_for(run.stopping.wait(), 10)
    assert not (tmp_path / "control.sock").exists()
    await road.close()


async def test_a_ping_is_remembered(run: Base, network: FakeNetwork, tmp_path: Path) -> None:
    other = FakeTox(network)
    peer = run.node.accept(other.public_key)
    other.friend_add_norequest(run.node.tox.public_key)
    road = TuntoxRoad(run.node)

    async def pong(peer: object) -> float:
        return 0.25

    road.ping = pong  # type: ignore[method-assign]
    source = Source(run, "server", run.roster(Authority()))
    async with controlled(run, tmp_path, source, road):
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
