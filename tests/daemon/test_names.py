"""Who the members of a network are, and when their names are made anew."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from types import SimpleNamespace
from typing import cast

import pytest

from toxvpn.config.vpn import VpnSection
from toxvpn.daemon.names import VpnNames
from toxvpn.daemon.node import RunningNode
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.members.roster import Roster
from toxvpn.names import keeper as keeper_module
from toxvpn.names.keeper import NamedLink
from toxvpn.names.zone import Zone, ZoneMember
from toxvpn.testing.fake_nodes import Network
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import Peer
from toxvpn.tun.host.namespace import HERE
from toxvpn.tun.router import NetworkPeer
from toxvpn.tun.vpn import Vpn
from toxvpn.usernet.names import SERVER

BOX, PI = bytes([1]) * 32, bytes([2]) * 32
OWN6, BOX6, PI6 = (IPv6Address(f"fd74:6f78::{number}") for number in (1, 2, 3))
OWN4, BOX4 = IPv4Address("100.64.0.1"), IPv4Address("100.64.0.2")


class FakeKeeper:
    """Remembers what it was made of, and what it was told."""

    made: list["FakeKeeper"] = []  # noqa: RUF012

    def __init__(self, members, link, file, mark, make_socket, on_host) -> None:  # type: ignore[no-untyped-def]
        self.members, self.link, self.mark, self.on_host = members, link, mark, on_host
        self.hosts: list[bool] = []
        self.refreshed = 0
        self.closed = False
        self.drops: dict[str, int] = {"dns_foreign": 2}
        FakeKeeper.made.append(self)

    @property
    def zone(self) -> Zone:
        return Zone.of(self.members())

    def problem(self, public_key: bytes) -> str | None:
        return f"of {public_key[0]}"

    def keep_hosts(self, hosts: bool) -> None:
        self.hosts.append(hosts)

    def refresh(self, _: object = None) -> None:
        self.refreshed += 1

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed = True


@dataclass
class Run:
    """A VPN with two peers, of which one has a name here."""

    network: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        FakeKeeper.made.clear()
        self.node = self.network.node()
        self.own_status = OwnStatus(self.node)
        self.peers = [
            NetworkPeer(Peer(0, BOX), BOX6, {BOX4: OWN4}, name="stated"),
            NetworkPeer(Peer(1, PI), PI6, {}, name="pi", has_ipv6=False),
        ]
        self.vpn = SimpleNamespace(
            router=SimpleNamespace(own=(OWN4,), peers=self.peers),
            ipv6=OWN6, interface="toxvpn7", index=7, namespace=HERE, network=None,
        )  # fmt: skip
        given = {BOX: ConfiguredPeer(BOX, name="box"), PI: ConfiguredPeer(PI)}
        self.roster = SimpleNamespace(peers=lambda: given, members=SimpleNamespace(on_peers=lambda: None))
        run = SimpleNamespace(node=self.node, own_status=self.own_status)
        self.names = VpnNames(cast(RunningNode, run), cast(Vpn, self.vpn), cast(Roster, self.roster))

    @property
    def keeper(self) -> FakeKeeper:
        return FakeKeeper.made[-1]


@pytest.fixture
async def run(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    monkeypatch.setattr(keeper_module, "NameKeeper", FakeKeeper)
    run = Run()
    yield run
    await run.names.close()
    run.network.close()


async def test_the_members_are_this_machine_and_its_peers(run: Run) -> None:
    run.names.apply(VpnSection(name="laptop"))
    assert run.keeper.members() == [
        ZoneMember(run.node.tox.public_key, None, "laptop", (OWN6, OWN4)),
        ZoneMember(BOX, "box", "stated", (BOX6, BOX4)),
        ZoneMember(PI, None, "pi", ()),  # as toxvpn in C++, which has no IPv6
    ]
    assert run.keeper.link() == NamedLink("toxvpn7", 7, (OWN6, OWN4))
    assert run.names.zone.full_name(BOX) == "box.tox.internal"
    assert (run.names.drops, run.names.problem(BOX)) == ({"dns_foreign": 2}, "of 1")


async def test_without_ipv6_here_nobody_is_found_by_it(run: Run) -> None:
    run.vpn.ipv6 = None
    run.names.apply(VpnSection(name="laptop"))
    assert [each.addresses for each in run.keeper.members()] == [(OWN4,), (BOX4,), ()]


async def test_whatever_may_change_names_makes_them_anew(run: Run) -> None:
    run.names.apply(VpnSection())
    run.own_status.set_ipv4([OWN4])
    run.roster.members.on_peers()
    run.node.remove(run.node.accept(BOX))
    assert run.keeper.refreshed == 3


async def test_a_reload_switches_names_off_and_on(run: Run) -> None:
    run.names.apply(VpnSection(name=""))
    assert FakeKeeper.made == [] and run.names.zone == Zone() and run.names.drops == {}
    assert run.names.problem(BOX) is None
    run.own_status.set_ipv4([OWN4])  # nobody is to be told
    run.names.apply(VpnSection(hosts=True))
    run.names.apply(VpnSection(hosts=False))
    assert run.keeper.hosts == [True, False]
    run.names.apply(VpnSection(name=""))
    run.names.apply(VpnSection())
    first, second = FakeKeeper.made
    await asyncio.gather(*run.names._ended)
    assert first.closed and not second.closed


async def test_in_another_namespace_the_hosts_resolver_hears_nothing(run: Run) -> None:
    run.vpn.namespace = SimpleNamespace(socket=None)
    run.names.apply(VpnSection())
    assert not run.keeper.on_host
    assert SERVER in run.keeper.link().addresses


@pytest.mark.parametrize(
    ("host", "stated"),
    [("Laptop.example.com", "Laptop"), ("localhost", ""), ("localhost.localdomain", ""), ("büro", "")],
)
def test_by_default_the_name_is_the_hosts(monkeypatch: pytest.MonkeyPatch, host: str, stated: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert VpnSection().stated_name == stated
    assert VpnSection(name="office").stated_name == "office"
