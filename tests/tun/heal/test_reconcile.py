"""The answer to other programs' changes of the network; the kernel and our changes to it are fakes."""

from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv4Network
from typing import cast

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.tun.heal.fight import PAUSE_S, REPAIRS_AT_ONCE
from toxvpn.tun.heal.notices import Notice
from toxvpn.tun.heal.programs import Culprits
from toxvpn.tun.heal.reconcile import RETRY_S, Reconciler
from toxvpn.tun.host.changes import (
    AddressAdded,
    Change,
    Interface,
    NftTable,
    RouteAdded,
    RuleAdded,
    SysctlSet,
)
from toxvpn.tun.host.kernel import KernelTables, Link
from toxvpn.tun.host.netconf import NetworkChanges
from toxvpn.tun.neighbours.local_networks import LocalNetwork, split

TOX0 = Interface("tox0", 7)
LINK = Link(7, "tox0", up=True, mtu=1368, txqlen=500)
ADDRESS = AddressAdded(TOX0, "100.64.3.2/32")
ROUTES = [RouteAdded(TOX0, "100.64.9.9/32"), RouteAdded(TOX0, "fd74:6f78::/32")]
OTHERS: list[Change] = [
    RuleAdded(5000, 5000, "0.0.0.0/0"),
    SysctlSet("net/ipv4/ip_forward", "1", "0"),
    NftTable("inet", "toxvpn_forward_tox0", ""),
]
LAN = IPv4Network("192.168.77.0/24")
GATEWAY = IPv4Network("10.0.0.1")


class FakeChanges:
    """`lost` is what somebody has taken away; `refuses` makes the kernel say no."""

    def __init__(self) -> None:
        self.kernel = KernelTables(LINK, frozenset(), ())
        self.lost: list[Change] = []
        self.restored: list[Change] = []
        self.refuses: list[Change] = []
        self.names: list[str] = []
        self.lasting: list[Change] = []

    def keeps(self, change: Change) -> bool:
        return change in self.lasting

    async def read_kernel_async(self, interface: str) -> KernelTables:
        return self.kernel

    def destinations(self, interface: str) -> list[IPv4Network]:
        return []

    def missing(self, interface: str, kernel: KernelTables) -> list[Change]:
        up = self.kernel.link is not None and self.kernel.link.up
        return [change for change in self.lost if up or not isinstance(change, AddressAdded | RouteAdded)]

    def restore(self, change: Change) -> bool:
        if change in self.refuses:
            raise ToxvpnError("the kernel says no")
        self.lost.remove(change)
        self.restored.append(change)
        return True

    def rename(self, interface: str, name: str) -> None:
        self.names.append(name)

    def become(self, name: str = "tox0", up: bool = True) -> None:
        self.kernel = replace(self.kernel, link=replace(LINK, name=name, up=up))


class Scene:
    def __init__(self) -> None:
        self.network = FakeChanges()
        self.reported: list[tuple[list[IPv4Network], list[IPv4Network]]] = []
        self.ignored: list[Collection[str]] = []
        self.local = [
            LocalNetwork(LAN, "of the interface eth0"),
            LocalNetwork(GATEWAY, "of a gateway", isolated=True),
        ]
        self.now_s = 0.0
        self.culprits = Culprits(lambda port: f"program {port}")
        self.reconciler = Reconciler(
            cast(NetworkChanges, self.network),
            "tox0",
            self._on_local_networks,
            self._find_local,
            lambda: self.now_s,
            self.culprits,
            self._on_tables,
        )
        self.tables: list[KernelTables] = []
        self.acts = False

    def _on_local_networks(self, local: Collection[LocalNetwork]) -> None:
        self.reported.append(split(local))

    def _on_tables(self, tables: KernelTables) -> bool:
        self.tables.append(tables)
        return self.acts

    def _find_local(self, kernel: KernelTables, ignore: Collection[str]) -> list[LocalNetwork]:
        self.ignored.append(ignore)
        return self.local


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_what_is_local_is_told_to_the_router_when_it_changes(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert await scene.reconciler.reconcile() is None
    assert scene.reported == [([LAN], [GATEWAY])]
    scene.local = scene.local[1:]
    await scene.reconciler.reconcile()
    assert scene.reported[1:] == [([], [GATEWAY])]
    assert scene.ignored == [["tox0"]] * 3
    assert caplog.messages == []


async def test_after_a_change_of_our_own_it_looks_again_before_it_restores(scene: Scene) -> None:
    """For what was read is old: what has just been added would seem to be gone."""
    scene.network.lost, scene.acts = [ADDRESS], True
    assert await scene.reconciler.reconcile() == 0
    assert (scene.tables, scene.network.restored) == ([scene.network.kernel], [])
    scene.acts = False
    await scene.reconciler.reconcile()
    assert scene.network.restored == [ADDRESS]


async def test_what_was_taken_away_is_put_back_with_one_line(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.network.lost = [ADDRESS, *ROUTES]
    assert await scene.reconciler.reconcile() is None
    assert scene.network.restored == [ADDRESS, *ROUTES]
    assert caplog.messages == [
        "another program changed the network of tox0; put back: addresses: 1, routes: 2"
    ]


async def test_the_program_that_did_it_is_named(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.culprits.note(Notice("rule", 22))
    scene.network.lost = OTHERS.copy()
    await scene.reconciler.reconcile()
    assert caplog.messages == [
        "program 22 changed the network of tox0; put back: nftables tables: 1, rules: 1, sysctls: 1"
    ]


async def test_what_is_to_outlast_us_is_put_back_in_a_fight_too(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    switch = NftTable("inet", "toxvpn_exit_tox0", "")
    scene.network.lasting = [switch]
    for _ in range(REPAIRS_AT_ONCE + 2):
        scene.network.lost = [ADDRESS, switch]
        await scene.reconciler.reconcile()
    assert scene.network.lost == [ADDRESS]
    [line] = [each for each in caplog.messages if "it stays as it is" in each]
    assert "addresses: 1" in line and "tables" not in line
    scene.network.lost, scene.network.refuses = [switch], [switch]
    assert await scene.reconciler.reconcile() == RETRY_S


async def test_a_fight_ends_in_one_line_that_names_the_program(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(REPAIRS_AT_ONCE):
        scene.network.lost = [ADDRESS]
        assert await scene.reconciler.reconcile() is None
    caplog.clear()
    scene.network.lost = [ADDRESS]
    scene.local = []
    scene.culprits.note(Notice("address", 33))
    assert (await scene.reconciler.reconcile(), scene.network.lost) == (PAUSE_S, [ADDRESS])
    assert scene.reported == [([LAN], [GATEWAY]), ([], [])], "what is local is reported all the same"
    scene.now_s += 1
    assert (await scene.reconciler.reconcile(), scene.network.lost) == (PAUSE_S - 1, [ADDRESS])
    assert caplog.messages == [
        "program 33 keeps undoing what is put back in the network of tox0 (20 times in a row): it stays as "
        "it is for 5 minutes, without addresses: 1; stop that program, or let it leave tox0 alone"
    ]
    scene.now_s += PAUSE_S - 1
    await scene.reconciler.reconcile()
    assert scene.network.lost == []


async def test_what_the_kernel_refuses_keeps_nothing_else_away_and_is_told_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.network.lost = [ADDRESS, *ROUTES]
    scene.network.refuses = [ADDRESS]
    assert await scene.reconciler.reconcile() == RETRY_S, "it may have been short of memory"
    assert scene.network.restored == ROUTES
    await scene.reconciler.reconcile()
    refused = "tox0 could not be restored: the kernel says no"
    assert [message for message in caplog.messages if "restored" in message] == [refused]


async def test_a_device_that_is_set_down_is_left_alone_until_it_is_up(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.network.become(up=False)
    scene.network.lost = [ADDRESS]
    for _ in range(2):
        await scene.reconciler.reconcile()
    assert caplog.messages == ["tox0 was set down: nothing passes until it is set up again"]
    assert (scene.reconciler.up, scene.network.restored) == (False, [])
    scene.network.become()
    await scene.reconciler.reconcile()
    assert (scene.reconciler.up, scene.network.restored) == (True, [ADDRESS])


async def test_a_new_name_is_kept(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.network.become("office")
    for _ in range(2):
        await scene.reconciler.reconcile()
    assert scene.reconciler.name == "office"
    assert scene.network.names == ["office"]
    assert scene.ignored == [["office"]] * 2
    assert caplog.messages == ["tox0 is called office now, and goes on under that name"]


async def test_without_the_device_nothing_is_done(scene: Scene) -> None:
    scene.network.kernel = replace(scene.network.kernel, link=None)
    scene.network.lost = [ADDRESS]
    await scene.reconciler.reconcile()
    assert (scene.reported, scene.network.restored) == ([], [])
