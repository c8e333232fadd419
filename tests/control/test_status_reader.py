"""The states of a run, as its parts have them."""

import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from toxvpn._native import toxcore
from toxvpn._native.flaws import ANNOUNCE
from toxvpn._native.net import netio
from toxvpn._native.path.packets import Counters, DropReason
from toxvpn._native.results import Connection
from toxvpn.control.status import ExitState, RouteState, ShieldState
from toxvpn.control.status_reader import StatusReader
from toxvpn.members.friends import Authority, FriendBook
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.members.roster import Roster
from toxvpn.testing.fake_nodes import Network
from toxvpn.testing.fake_tox import FakeTox
from toxvpn.tox.node import Node
from toxvpn.tun.host.namespace import HERE
from toxvpn.tun.router import NetworkPeer
from toxvpn.tun.subnets.routes import PeerRoute
from toxvpn.tun.vpn import Vpn
from toxvpn.wire import statusmessage
from toxvpn.wire.addressbook import AddressRefusal
from toxvpn.wire.addressing import overlay_ipv6
from toxvpn.wire.ip import vpn_mtu
from toxvpn.wire.statusmessage import Status, ToxvpnStatus


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture
async def node(network: Network) -> Node:
    return network.node()


@pytest.fixture
async def roster(node: Node, tmp_path: Path) -> Roster:
    return Roster(node, Authority(), FriendBook(), lambda: None, time.time, tmp_path)


ROUTE = IPv4Network("192.168.20.0/24")
STATED = statusmessage.encode(Status(toxvpn=ToxvpnStatus(version="9.8.7")))
NO_DROPS = dict.fromkeys(DropReason, 0)


class FakeVpn:
    """One with a single member."""

    def __init__(self, member: NetworkPeer, counters: Counters) -> None:
        key = member.peer.public_key
        self.ipv6: IPv6Address | None = IPv6Address("fd74:6f78::1")
        self.interface, self.up = "tox0", True
        self.multicast = SimpleNamespace(groups=("mdns",), shared=lambda member: ("mdns",))
        self.namespace = HERE
        self.moved, self.peer_moved = "10.64.3.2 instead of another", lambda member: "10.64.9.9 instead"
        self.datapath = SimpleNamespace(drops=NO_DROPS | {DropReason.NO_ROUTE: 3}, refused=("TCP",))
        route = PeerRoute(ROUTE, used=False, problem="it overlaps another")
        self.subnets = SimpleNamespace(
            advertised=(ROUTE,), of=lambda public_key: [route] if public_key == key else []
        )
        self.exits = SimpleNamespace(
            client=SimpleNamespace(public_key=key, problem="it is offline"),
            role_of=lambda peer: "used" if peer is member.peer else None,
            may=lambda public_key: public_key == key,
        )
        self.router = SimpleNamespace(
            own_ipv4=IPv4Address("100.64.0.1"),
            peer=lambda public_key: member if public_key == key else None,
            counters=lambda public_key: counters if public_key == key else None,
        )
        self.filters = SimpleNamespace(lines=lambda public_key: ("localhost:22",))


async def test_of_a_server(node: Node, roster: Roster, network: Network) -> None:
    other = FakeTox(network.tox)
    peer = node.accept(other.public_key)
    reader = StatusReader(node, "server", roster)
    own = reader.read().own
    assert (own.mode, own.ipv4, own.interface, own.drops) == ("server", None, None, {})
    [state] = reader.read().peers
    assert (state.public_key, state.ipv4, state.ipv6) == (
        peer.public_key, None, overlay_ipv6(peer.public_key),
    )  # fmt: skip
    assert [*reader.read().pending, *reader.read().forwards] == []
    cast(FakeTox, node.tox).unaccepted_packets = 7
    assert reader.read().own.drops == {"unheard": 7}
    other.close()


class FakeMeasured:
    def rtt_s(self, public_key: bytes) -> float:
        return 0.02

    def loss(self, public_key: bytes) -> float:
        return 0.05


async def test_how_it_stands_with_a_peer(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = node.accept(bytes([1]) * 32)
    monkeypatch.setattr(node, "now", lambda: 500.0)
    peer.changed_s = 440.0
    reader = StatusReader(node, "client", wall=lambda: 1_800_000_000.0, measured=FakeMeasured())
    [away] = reader.read().peers
    assert (away.path, away.since, away.mtu, away.introduced) == ("none", 1_799_999_940.0, None, False)
    assert away.rtt_s is None, "what was measured before it went away"
    peer.connection, peer.packet_bytes, peer.status_text = Connection.UDP, 1200, STATED
    [here] = reader.read().peers
    assert (here.path, here.mtu, here.introduced, here.rtt_s) == ("udp", vpn_mtu(1200), True, 0.02)
    assert here.loss == 0.05
    assert (away.version, here.version) == (None, "9.8.7")
    peer.status_text = b"a plain tuntox"
    assert reader.read().peers[0].version is None


async def test_a_client_calls_its_peer_as_it_is_kept(node: Node) -> None:
    key = node.accept(bytes([1]) * 32).public_key
    reader = StatusReader(node, "client", kept=lambda: {key: ConfiguredPeer(key, name="box")})
    assert [peer.name for peer in reader.read().peers] == ["box"]


async def test_who_is_blocked(node: Node, roster: Roster) -> None:
    peer = node.accept(bytes([1]) * 32)
    roster.block(peer.public_key.hex())
    status = StatusReader(node, "server", roster).read()
    assert ([each.public_key for each in status.blocked], status.peers) == ([peer.public_key], [])


async def test_the_shield_is_told_where_there_is_one_to_be(
    node: Node, roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toxcore, "FLAW", ANNOUNCE)
    monkeypatch.setattr(netio, "shield", lambda: netio.Hook(True, ""))
    monkeypatch.setattr(netio, "counters", lambda: {"shielded": 5})
    found = StatusReader(node, "server", roster).read().own.shield
    assert found == ShieldState(flaw="GHSA-42vg-9mg3-399f", in_force=True, dropped=5)
    monkeypatch.setattr(netio, "shield", lambda: None)
    assert StatusReader(node, "server", roster).read().own.shield is None


async def test_of_a_vpn(node: Node, roster: Roster) -> None:
    peer, outsider = (node.accept(bytes([number]) * 32) for number in (1, 2))
    ways = {IPv4Address("100.64.0.2"): IPv4Address("100.64.0.1")}
    refused = IPv4Address("10.1.2.3"), AddressRefusal.CHOSEN
    member = NetworkPeer(peer, overlay_ipv6(peer.public_key), ways, *refused)
    counters = Counters(1, 100, 2, 200, NO_DROPS | {DropReason.TOO_BIG: 4})
    vpn = FakeVpn(member, counters)
    reader = StatusReader(node, "up", roster, cast(Vpn, vpn), drops_of=lambda _: {"udp_no_room": 5})
    own = reader.read().own
    assert (own.ipv4, own.ipv6) == (vpn.router.own_ipv4, vpn.ipv6)
    assert own.routes == (ROUTE,)
    assert own.exit == ExitState(peer=peer.public_key, blocked=True, problem="it is offline")
    assert (own.interface, own.interface_up) == ("tox0", True)
    assert own.drops == {"no_route": 3}
    assert own.moved == ["10.64.3.2 instead of another"]
    cast(FakeTox, node.tox).unaccepted_packets = 7
    assert reader.read().own.drops == {"no_route": 3, "unheard": 7}
    assert own.refused_offload == ("TCP",)
    states = {state.public_key: state for state in reader.read().peers}
    inside, outside = states[peer.public_key], states[outsider.public_key]
    assert (inside.ipv4, inside.rx_bytes, inside.tx_bytes) == (member.ipv4, 100, 200)
    assert inside.drops == {"too_big": 4, "udp_no_room": 5}
    assert (own.multicast, inside.multicast, outside.multicast) == (("mdns",), ("mdns",), ())
    assert (inside.address_moved, outside.address_moved) == ("10.64.9.9 instead", None)
    assert inside.routes == [RouteState(network=ROUTE, used=False, problem="it overlaps another")]
    assert outside.routes == ()
    assert (inside.exit, outside.exit, inside.may_exit, outside.may_exit) == ("used", None, True, False)
    assert inside.address_problem == member.address_problem and "10.1.2.3" in str(inside.address_problem)
    assert (outside.ipv4, outside.ipv6, outside.rx_bytes, outside.drops) == (
        None,
        None,
        0,
        {"udp_no_room": 5},
    )
    vpn.ipv6 = None
    assert reader.read().own.ipv6 is None
