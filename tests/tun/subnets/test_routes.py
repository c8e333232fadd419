"""Networks behind peers, put in force: the datapath and the kernel are fakes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import NoReturn, cast

import pytest

from toxvpn._native.path.datapath import Datapath
from toxvpn.errors import ToxvpnError
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.fake_tables import FakeTables
from toxvpn.tox.peer import Peer
from toxvpn.tun.host.kernel import KernelTables, Route
from toxvpn.tun.host.netconf import NetworkChanges
from toxvpn.tun.neighbours.other_networks import interface_name
from toxvpn.tun.router import Router
from toxvpn.tun.subnets.routes import Grants, SubnetRoutes
from toxvpn.wire.addressbook import AddressBook
from toxvpn.wire.addressing import overlay_ipv6
from toxvpn.wire.routegrant import NO_ROUTES, RouteGrant
from toxvpn.wire.routes import IPNetwork
from toxvpn.wire.statusmessage import Status, ToxvpnStatus, encode

OURS, ETH0 = 7, 2
LAN, LAN6, OTHER = (ip_network(each) for each in ("192.168.20.0/24", "fd00:20::/64", "192.168.30.0/24"))
MINE = ip_network("192.168.10.0/24")


class FakeChanges:
    def __init__(self) -> None:
        self.routes: set[IPNetwork] = set()
        self.refuses: set[IPNetwork] = set()
        self.broken = False

    def index(self, interface: str) -> int:
        return OURS

    def add_address(self, interface: str, address: object) -> None: ...

    def add_route(self, interface: str, destination: IPNetwork, *, source: object = None) -> None:
        if destination in self.refuses:
            raise ToxvpnError("the kernel says no")
        assert destination not in self.routes
        self.routes.add(destination)

    def remove_route(self, interface: str, destination: IPNetwork) -> None:
        self.routes.remove(destination)
        if self.broken:
            raise ToxvpnError("the journal cannot be written")


@dataclass
class Machine:
    """`granted` and `open_to` are what a person has decided."""

    network: Network
    granted: dict[bytes, RouteGrant] = field(default_factory=dict)
    open_to: set[bytes] = field(default_factory=set)
    local: tuple[str, ...] = ()
    requested: IPv4Address | None = None

    def __post_init__(self) -> None:
        self.node = self.network.node()
        self.tables, self.changes = FakeTables(), FakeChanges()
        datapath, changes = cast(Datapath, self.tables), cast(NetworkChanges, self.changes)
        book = AddressBook(self.node.tox.public_key, requested=self.requested)
        self.router = Router(datapath, changes, "tox0", book, lambda addresses: None)
        self.router.start(overlay_ipv6(self.node.tox.public_key))
        grants = Grants(
            lambda key: "office",
            lambda key: self.granted.get(key, NO_ROUTES),
            lambda key: key in self.open_to,
        )
        self.subnets = SubnetRoutes(datapath, changes, "tox0", self.router, grants, [MINE])
        self.look()

    def look(self, *more: str) -> bool:
        routes = [Route(each, 1, 254, 2, None, (ETH0,), ()) for each in (str(MINE), *more)]
        routes += [Route(str(each), 1, 254, 116, None, (OURS,), ()) for each in self.changes.routes]
        return self.subnets.look(KernelTables(None, frozenset(), tuple(routes)))

    def meet(self, number: int, *offered: IPNetwork, granted: RouteGrant = NO_ROUTES) -> Peer:
        peer = self.node.accept(bytes([number]) * 32)
        self.router.add(peer)
        self.granted[peer.public_key] = granted
        self.says(peer, *offered)
        self.subnets.update()
        return peer

    def says(self, peer: Peer, *offered: IPNetwork) -> None:
        member = self.router.peer(peer.public_key)
        assert member is not None
        peer.status_text = encode(Status(None, ToxvpnStatus(routes=offered)))
        self.router._apply_status(member, peer.status_text)

    @property
    def used(self) -> dict[IPNetwork, int]:
        """The networks by their friend number; the two tables agree, and so does the kernel."""
        routes = {each: number for each, number in self.tables.routes.items() if hasattr(each, "prefixlen")}
        sources = {each: number for each, number in self.tables.sources.items() if hasattr(each, "prefixlen")}
        kernel = {each for each in self.changes.routes if each.prefixlen < each.max_prefixlen}
        assert routes == sources
        assert kernel == set(routes)
        return cast(dict[IPNetwork, int], routes)

    def shown(self, peer: Peer) -> dict[str, str | bool]:
        return {str(each.network): each.problem or each.used for each in self.subnets.of(peer.public_key)}


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    network = Network()
    machine = Machine(network)
    yield machine
    machine.subnets.close()
    network.close()


async def test_what_is_offered_and_granted_is_used(machine: Machine) -> None:
    peer = machine.meet(1, LAN, LAN6, OTHER, granted=(LAN, LAN6))
    assert machine.used == {LAN: peer.number, LAN6: peer.number}
    assert machine.shown(peer) == {str(LAN): True, str(LAN6): True, str(OTHER): False}


async def test_without_a_grant_nothing_is(machine: Machine) -> None:
    peer = machine.meet(1, LAN, LAN6)
    assert machine.used == {}
    assert machine.shown(peer) == {str(LAN): False, str(LAN6): False}


async def test_an_address_that_a_peer_is_only_presumed_to_have_is_in_nobodys_way() -> None:
    """Ours is a chosen one, so that the usual ranges may well be behind a peer."""
    network, behind = Network(), ip_network("100.64.0.0/10")
    machine = Machine(network, requested=IPv4Address("10.9.8.7"))
    silent = machine.node.accept(bytes([2]) * 32)
    machine.router.add(silent)
    assert [each.sources for each in machine.router.peers] != [{}]
    peer = machine.meet(1, behind, granted=(behind,))
    assert machine.shown(peer) == {str(behind): True}
    machine.subnets.close()
    network.close()


async def test_a_grant_comes_and_goes(machine: Machine) -> None:
    peer = machine.meet(1, LAN)
    machine.granted[peer.public_key] = "all"
    machine.subnets.update()
    assert machine.used == {LAN: peer.number}
    machine.granted[peer.public_key] = (OTHER,)
    machine.subnets.update()
    assert machine.used == {}
    assert machine.shown(peer) == {str(LAN): False, str(OTHER): "it does not offer this network"}


async def test_a_peer_that_has_not_connected_is_not_said_to_offer_nothing(machine: Machine) -> None:
    peer = machine.meet(1, granted=(LAN,))
    assert machine.shown(peer) == {str(LAN): "it does not offer this network"}
    peer.status_text = None
    assert machine.shown(peer) == {str(LAN): "it has not told yet what it offers"}


async def test_an_offer_comes_and_goes(machine: Machine) -> None:
    peer = machine.meet(1, granted="all")
    machine.says(peer, LAN, OTHER)
    machine.subnets.update_soon()
    assert set(machine.used) == {LAN, OTHER}, "at once"
    machine.says(peer, OTHER)
    machine.subnets.update_soon()
    machine.subnets.update_soon()
    assert set(machine.used) == {LAN, OTHER}
    await until(lambda: set(machine.used) == {OTHER})


async def test_a_peer_that_goes_takes_its_networks_along(machine: Machine) -> None:
    peer = machine.meet(1, LAN, granted="all")
    machine.router.remove(peer.public_key)
    assert not [each for each in machine.tables.sources if each == LAN], "at once"
    machine.subnets.update()
    assert machine.used == {}
    machine.router.add(peer)
    machine.says(peer, LAN)
    machine.subnets.update()
    assert machine.used == {LAN: peer.number}


async def test_a_peer_that_was_put_in_again_unseen_is_whole(machine: Machine) -> None:
    machine.open_to.add(bytes([1]) * 32)
    peer = machine.meet(1, LAN, granted="all")
    before = machine.used, set(machine.tables.destinations)
    machine.router.remove(peer.public_key)
    machine.router.add(peer)
    machine.says(peer, LAN)
    machine.subnets.update()
    assert (machine.used, machine.tables.destinations) == before


async def test_another_friend_number(machine: Machine) -> None:
    machine.open_to.add(bytes([1]) * 32)
    peer = machine.meet(1, LAN, granted="all")
    machine.tables.renumber(peer.number, 99)  # as Overlay does
    peer.number = 99
    machine.subnets.update()
    assert machine.used == {LAN: 99}
    assert machine.tables.destinations == {(MINE, 99)}


async def test_a_network_goes_to_the_peer_that_is_left(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one, two = (machine.meet(number, LAN, granted=(LAN,)) for number in (1, 2))
    assert machine.used == {LAN: one.number}
    assert "which is reached through office" in str(machine.shown(two)[str(LAN)])
    machine.router.remove(one.public_key)
    machine.subnets.update()
    assert machine.used == {LAN: two.number}
    assert f"{LAN} is reached through it" in caplog.text


async def test_a_local_network_that_comes_later_has_it(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    peer = machine.meet(1, LAN, LAN6, granted="all")
    with caplog.at_level(logging.INFO):
        assert [machine.look("192.168.0.0/16") for _ in range(3)] == [True, False, False]
    assert machine.used == {LAN6: peer.number}
    reason = f"it overlaps 192.168.0.0/16, a route through {interface_name(ETH0)}"
    assert machine.shown(peer)[str(LAN)] == reason
    assert caplog.text.count(f"the network {LAN} that it offers is not used: {reason}") == 1
    machine.look()
    assert set(machine.used) == {LAN, LAN6}


@pytest.mark.parametrize("what", ["own range", "advertised", "IPv6 of the VPN", "everything"])
async def test_what_is_ours_is_not_given_away(machine: Machine, what: str) -> None:
    offered = {
        "own range": ip_network("100.64.0.0/10"),
        "advertised": MINE,
        "IPv6 of the VPN": ip_network("fd74:6f78:1::/48"),
        "everything": ip_network("0.0.0.0/0"),
    }[what]
    peer = machine.meet(1, offered, granted=(offered,))
    assert machine.used == {}
    assert machine.shown(peer)[str(offered)] not in (True, False)


async def test_a_route_that_the_kernel_refuses_is_not_used_at_all(machine: Machine) -> None:
    machine.changes.refuses = {LAN}
    peer = machine.meet(1, LAN, OTHER, granted="all")
    assert machine.used == {OTHER: peer.number}
    assert machine.shown(peer)[str(LAN)] == "the kernel says no"
    machine.changes.refuses.clear()
    machine.subnets.update()
    assert set(machine.used) == {LAN, OTHER}


async def test_nor_one_that_the_datapath_refuses(machine: Machine) -> None:
    machine.tables.sources[LAN] = 55
    peer = machine.meet(1, LAN, granted="all")
    assert machine.changes.routes == {ip_network(overlay_ipv6(peer.public_key))}
    assert "belongs to somebody else" in str(machine.shown(peer)[str(LAN)])
    assert LAN not in machine.tables.routes


async def test_it_is_out_of_the_datapath_even_if_the_journal_fails(machine: Machine) -> None:
    peer = machine.meet(1, LAN, granted="all")
    machine.changes.broken = True
    machine.granted[peer.public_key] = NO_ROUTES
    machine.subnets.update()
    assert machine.used == {}


async def test_nothing_is_used_before_the_kernels_tables_are_known() -> None:
    network = Network()
    machine = Machine(network)
    machine.subnets._others = None
    machine.meet(1, LAN, granted="all")
    assert machine.used == {}
    network.close()


async def test_who_may_reach_what_lies_behind_this_machine(machine: Machine) -> None:
    machine.open_to.add(bytes([1]) * 32)
    one, two = machine.meet(1), machine.meet(2)
    assert machine.tables.destinations == {(MINE, one.number)}
    machine.open_to = {two.public_key}
    machine.subnets.update()
    assert machine.tables.destinations == {(MINE, two.number)}
    machine.router.remove(two.public_key)
    machine.subnets.update()
    assert machine.tables.destinations == set()


async def test_peers_without_networks_cost_no_look_at_what_is_granted(machine: Machine) -> None:
    machine.meet(1)
    machine.subnets._grants = Grants(_never, _never, lambda key: False)
    machine.subnets.update()


def _never(public_key: bytes) -> NoReturn:
    raise AssertionError("nobody offers anything")


async def test_a_peer_that_changes_its_mind_all_the_time(machine: Machine) -> None:
    peer = machine.meet(1, granted="all")
    rounds = 0
    update = machine.subnets.update

    def counted() -> None:
        nonlocal rounds
        rounds += 1
        update()

    machine.subnets.update = counted  # type: ignore[method-assign]
    for number in range(100):
        machine.says(peer, IPv4Network((0x0A000000 + (number << 8), 24)))
        machine.subnets.update_soon()
        await asyncio.sleep(0)
    await until(lambda: set(machine.used) == {IPv4Network("10.0.99.0/24")})
    assert rounds <= 2
