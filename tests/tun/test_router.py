"""The router fills the datapath's tables and the kernel's routes; here both are fakes."""

import json
from collections.abc import AsyncIterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network
from typing import cast

import pytest

from toxvpn._native.path.datapath import Datapath
from toxvpn.errors import ToxvpnError
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.fake_tables import FakeTables
from toxvpn.tox.loglimit import AT_ONCE
from toxvpn.tox.node import Node
from toxvpn.tox.peer import Peer
from toxvpn.tox.statuses import Statuses
from toxvpn.tun.host.netconf import NetworkChanges
from toxvpn.tun.router import Router
from toxvpn.wire.addressbook import AddressBook, AllowedAddresses
from toxvpn.wire.addressing import RANGES, ipv4_candidates, overlay_ipv6
from toxvpn.wire.statusmessage import Status, ToxvpnStatus, encode

Route = IPv4Network | IPv6Network
GIVEN = IPv4Network("10.203.0.0/24")
FREE = IPv4Address("10.203.0.9")


class FakeChanges:
    """Records what the kernel is asked to do; `refuses` makes it say no, `broken` makes taking back fail."""

    def __init__(self) -> None:
        self.addresses: list[IPv4Address] = []
        self.every_route: list[Route] = []
        self.sources: dict[Route, IPv4Address | None] = {}
        self.unreachable: list[tuple[Route, bool]] = []
        """Each with whether it came before we had an address."""
        self.refuses: set[Route | IPv4Address] = set()
        self.broken = False

    @property
    def routes(self) -> list[IPv4Network]:
        return [route for route in self.every_route if isinstance(route, IPv4Network)]

    @property
    def routes6(self) -> list[IPv6Network]:
        return [route for route in self.every_route if isinstance(route, IPv6Network)]

    def add_address(self, interface: str, address: IPv4Interface) -> None:
        if address.ip in self.refuses:
            raise ToxvpnError("the kernel says no")
        self.addresses.append(address.ip)

    def remove_address(self, interface: str, address: IPv4Interface) -> None:
        self.addresses.remove(address.ip)
        self._write()

    def add_route(self, interface: str, destination: Route, *, source: IPv4Address | None = None) -> None:
        if destination in self.refuses:
            raise ToxvpnError("the kernel says no")
        assert source is None or source in self.addresses
        self.every_route.append(destination)
        self.sources[destination] = source

    def make_unreachable(self, destination: Route, metric: int) -> None:
        self.unreachable.append((destination, not self.addresses))

    def remove_unreachable(self, destination: Route) -> None:
        self.unreachable.remove((destination, True))

    def remove_route(self, interface: str, destination: Route) -> None:
        if destination in self.every_route:
            self.every_route.remove(destination)
            self._write()

    def _write(self) -> None:
        if self.broken:
            raise ToxvpnError("the journal cannot be written")


class Machine:
    """A node with a router on fakes."""

    def __init__(
        self,
        network: Network,
        local: tuple[IPv4Network, ...] = (),
        ipv6: bool = True,
        given: IPv4Network | None = GIVEN,
        start: bool = True,
    ) -> None:
        self.node = network.node()
        self.tables = FakeTables()
        self.changes = FakeChanges()
        self.announced: list[Sequence[IPv4Address]] = []
        book = AddressBook(self.node.tox.public_key, local=local, allowed=AllowedAddresses(network=given))
        self.router = Router(
            cast(Datapath, self.tables),
            cast(NetworkChanges, self.changes),
            "tox0",
            book,
            self.announced.append,
        )
        if start:
            self.router.start(overlay_ipv6(self.node.tox.public_key) if ipv6 else None)
        self.node.subscribe(self.router.on_event)

    async def meet(self, other: Node, stated: bytes = b"") -> Peer:
        """The other one as a connected peer of ours that has stated its status."""
        other.tox.status_message = stated
        other.accept(self.node.tox.public_key)
        peer = self.node.accept(other.tox.public_key)
        self.router.add(peer)
        await until(lambda: peer.online and peer.status_text is not None)
        return peer

    def ipv4_of(self, peer: Peer) -> IPv4Address | None:
        member = self.router.peer(peer.public_key)
        return member.ipv4 if member else None


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


def said(address: str | None, **fields: int) -> bytes:
    ip4 = IPv4Address(address) if address else None
    return encode(Status(ip4, ToxvpnStatus(**fields)))  # type: ignore[arg-type]


async def test_own_addresses(network: Network) -> None:
    machine = Machine(network)
    own = next(ipv4_candidates(machine.node.tox.public_key))
    assert machine.announced == [(own,)]
    assert machine.changes.addresses == [own]
    assert machine.tables.own == {own, overlay_ipv6(machine.node.tox.public_key)}


async def test_a_peer_has_the_address_of_its_key_and_the_one_it_states(network: Network) -> None:
    machine, other = Machine(network), network.node()
    peer = await machine.meet(other, said(str(FREE), mtu=1280))
    await until(lambda: machine.ipv4_of(peer) == FREE)
    ipv6 = overlay_ipv6(peer.public_key)
    assert machine.tables.routes == machine.tables.sources == {ipv6: peer.number, FREE: peer.number}
    assert machine.changes.every_route == [IPv6Network(ipv6), IPv4Network(FREE)]
    assert machine.tables.mtu == {peer.number: 1280}
    assert machine.tables.online == {peer.number}


async def test_the_cpp_program_is_a_peer_too(network: Network) -> None:
    machine, other = Machine(network), network.node()
    peer = await machine.meet(other, json.dumps({"mode": "tun", "ownip": str(FREE)}).encode())
    await until(lambda: machine.ipv4_of(peer) == FREE)


async def test_without_an_address_of_our_own_peers_have_none_either(network: Network) -> None:
    machine, other = Machine(network, local=(IPv4Network("0.0.0.0/0"),)), network.node()
    peer = await machine.meet(other, said(str(FREE)))
    assert machine.router.own_ipv4 is None
    assert machine.ipv4_of(peer) is None
    assert machine.changes.routes == []
    assert overlay_ipv6(peer.public_key) in machine.tables.routes


@pytest.mark.parametrize("claim", ["ours", "224.0.0.1", "127.0.0.1", "192.168.1.9", "192.168.77.1"])
async def test_a_claim_that_is_not_the_peers_to_make_is_refused(network: Network, claim: str) -> None:
    machine, other = Machine(network, local=(IPv4Network("192.168.1.0/24"),)), network.node()
    if claim == "ours":
        claim = str(machine.router.own_ipv4)
    peer = await machine.meet(other, said(claim))
    assert machine.ipv4_of(peer) is None
    assert machine.tables.routes == {overlay_ipv6(peer.public_key): peer.number}
    assert machine.changes.routes == []


async def test_another_peers_address_cannot_be_claimed(network: Network) -> None:
    machine, first, second = Machine(network), network.node(), network.node()
    derived = str(next(ipv4_candidates(first.tox.public_key)))
    holder = await machine.meet(first, said(derived))
    thief = await machine.meet(second, said(derived))
    assert machine.ipv4_of(holder) == IPv4Address(derived)
    assert machine.ipv4_of(thief) is None
    assert machine.tables.sources[IPv4Address(derived)] == holder.number


async def test_a_peer_may_change_its_address(network: Network) -> None:
    machine, other = Machine(network), network.node()
    peer = await machine.meet(other, said(str(FREE)))
    other.tox.status_message = said("10.203.0.10")
    await until(lambda: machine.ipv4_of(peer) == IPv4Address("10.203.0.10"))
    assert FREE not in machine.tables.routes and FREE not in machine.tables.sources
    assert machine.changes.routes == [IPv4Network("10.203.0.10/32")]


async def test_the_log_is_not_a_peers_to_fill(
    network: Network, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Statuses, "stated", lambda *_: True)  # not just one a second
    machine, other = Machine(network), network.node()
    peer = await machine.meet(other, said(None))
    caplog.set_level("INFO", "toxvpn.tun")
    for number in range(1, 100):
        address = IPv4Address("10.203.0.0") + number
        other.tox.status_message = said(str(address))
        await until(lambda address=address: machine.ipv4_of(peer) == address)  # type: ignore[misc]
    lines = [record.getMessage() for record in caplog.records if record.name == "toxvpn.tun"]
    assert lines == [f"peer {peer.short}: 10.203.0.{number}" for number in range(1, AT_ONCE + 1)]


async def test_our_own_address_gives_way_to_a_smaller_key(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(network)
    own = machine.router.own_ipv4
    other = network.node()
    while other.tox.public_key > machine.node.tox.public_key:
        other = network.node()
    monkeypatch.setattr(AddressBook, "_is_derived", lambda *_: True)  # such a key takes long to find
    peer = await machine.meet(other, said(str(own)))
    await until(lambda: machine.ipv4_of(peer) == own)
    assert machine.router.own_ipv4 != own
    assert machine.announced == [(own,), machine.router.own]
    assert machine.changes.addresses == [machine.router.own_ipv4]


async def test_a_peer_that_was_not_online_yet_is_presumed_to_have_its_usual_address(network: Network) -> None:
    """What programs send there must not leave by the default route. To people it has none."""
    machine, other = Machine(network), network.node()
    usual = next(ipv4_candidates(other.tox.public_key))
    peer = machine.node.accept(other.tox.public_key)
    machine.router.add(peer)
    assert machine.tables.routes[usual] == machine.tables.sources[usual] == peer.number
    assert machine.changes.routes == [IPv4Network(usual)]
    assert machine.ipv4_of(peer) is None
    other.tox.status_message = said(str(usual))
    other.accept(machine.node.tox.public_key)
    await until(lambda: machine.ipv4_of(peer) == usual)
    assert machine.changes.routes == [IPv4Network(usual)]


async def test_there_is_a_route_to_each_peer_or_none_at_all_while_the_vpn_starts(network: Network) -> None:
    machine, other = Machine(network, start=False), network.node()
    peer = machine.node.accept(other.tox.public_key)
    usual = IPv4Network(next(ipv4_candidates(other.tox.public_key)))
    with machine.router.refusing([peer]):
        assert machine.changes.unreachable == [(usual, True)]
        machine.router.start(None)
        machine.router.add(peer)
        assert machine.changes.routes == [usual]
    assert machine.changes.unreachable == []


@pytest.mark.parametrize("stated", [str(FREE), None])
async def test_what_was_presumed_goes_when_the_peer_states_something_else(
    network: Network, stated: str | None
) -> None:
    machine, other = Machine(network), network.node()
    machine.router.add(machine.node.accept(other.tox.public_key))
    peer = await machine.meet(other, said(stated))
    assert machine.changes.routes == ([IPv4Network(stated)] if stated else [])
    machine.node.remove(peer)
    assert machine.changes.every_route == []


async def test_a_removed_peer_leaves_nothing(network: Network) -> None:
    machine, other = Machine(network), network.node()
    peer = await machine.meet(other, said(str(FREE), mtu=1300))
    await until(lambda: machine.ipv4_of(peer) == FREE)
    machine.node.remove(peer)
    assert machine.tables.routes == machine.tables.sources == machine.tables.mtu == {}
    assert machine.changes.every_route == []
    assert machine.router.peers == []


async def test_a_removed_peer_leaves_nothing_in_the_datapath_whatever_fails(network: Network) -> None:
    """Its number is the next friend's, who must not inherit its addresses."""
    machine, other = Machine(network), network.node()
    peer = await machine.meet(other, said(str(FREE), mtu=1300))
    await until(lambda: machine.ipv4_of(peer) == FREE)
    machine.changes.broken = True
    machine.router.remove(peer.public_key)
    assert machine.tables.routes == machine.tables.sources == machine.tables.mtu == {}
    assert machine.router.peers == [] and machine.changes.every_route == []


async def test_what_becomes_local_is_no_peers_any_more(network: Network) -> None:
    machine, other = Machine(network), network.node()
    peer = await machine.meet(other, said(str(FREE)))
    await until(lambda: machine.ipv4_of(peer) == FREE)
    machine.changes.broken = True
    machine.router.set_local_networks([IPv4Network("10.203.0.0/24")], [])
    assert machine.ipv4_of(peer) is None and machine.changes.routes == []
    assert FREE not in machine.tables.routes and FREE not in machine.tables.sources
    machine.changes.broken = False
    machine.router.set_local_networks([], [])
    assert machine.ipv4_of(peer) == FREE and machine.changes.routes == [IPv4Network(FREE)]


async def test_a_chosen_address_takes_a_yes_and_the_log_says_how(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    machine, other = Machine(network, given=None), network.node()
    peer = await machine.meet(other, said(str(FREE)))
    announced = (
        f"the IPv4 address it states, {FREE}, is not used: it is not derived from the peer's key; "
        f'to allow it: address = "{FREE}" in the section of that peer in config.toml'
    )
    assert f"peer {peer.short}: {announced}" in caplog.messages
    [member] = machine.router.peers
    assert (member.ipv4, member.address_problem) == (None, announced)
    machine.router.allow(AllowedAddresses({peer.public_key: FREE}))
    assert (member.ipv4, member.address_problem) == (FREE, None)
    assert machine.tables.sources[FREE] == peer.number
    machine.router.allow(AllowedAddresses())
    assert member.ipv4 is None and FREE not in machine.tables.sources


async def test_a_peer_in_another_range_is_met_there(network: Network) -> None:
    machine, other = Machine(network), network.node()
    [own] = machine.router.own
    others = [next(ipv4_candidates(other.tox.public_key, [each])) for each in RANGES]
    peer = await machine.meet(other, encode(Status(others[1], ToxvpnStatus(more_ip4=(others[2],)))))
    await until(lambda: machine.ipv4_of(peer) == others[1])
    assert machine.announced == [(own,), machine.router.own]
    assert machine.router.own[0] == own and machine.router.own_ipv4 == own
    assert set(machine.changes.addresses) == set(machine.router.own) <= machine.tables.own
    for address, source in zip(others[1:], machine.router.own[1:], strict=True):
        assert machine.changes.sources[IPv4Network(address)] == source
        assert machine.tables.routes[address] == machine.tables.sources[address] == peer.number
    machine.node.remove(peer)
    assert machine.changes.routes == [] and machine.tables.sources == {}


async def test_an_own_address_that_the_kernel_refuses_is_not_told_to_peers(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    machine, other = Machine(network), network.node()
    [own] = machine.router.own
    refused = next(ipv4_candidates(machine.node.tox.public_key, [RANGES[1]]))
    machine.changes.refuses.add(refused)
    await machine.meet(other, said(str(next(ipv4_candidates(other.tox.public_key, [RANGES[1]])))))
    assert "this machine has no IPv4 address on the VPN: the kernel says no" in caplog.messages
    assert len(machine.router.own) == 2 and machine.router.own[0] == own and refused not in machine.tables.own
    assert machine.announced[-1] == machine.router.own
    machine.changes.refuses.clear()
    machine.router.set_local_networks([], [])
    assert machine.router.own[1] == refused and refused in machine.tables.own


async def test_without_ipv6_there_is_no_route_for_it(network: Network) -> None:
    machine, other = Machine(network, ipv6=False), network.node()
    peer = await machine.meet(other, said(str(FREE)))
    await until(lambda: machine.ipv4_of(peer) == FREE)
    assert machine.changes.every_route == [IPv4Network(FREE)]
    assert machine.tables.own == {machine.router.own_ipv4}
    machine.node.remove(peer)
    assert machine.changes.every_route == []


async def test_what_the_kernel_refuses_costs_only_that_address(network: Network) -> None:
    machine, other = Machine(network), network.node()
    machine.changes.refuses.add(IPv4Network(FREE))
    peer = await machine.meet(other, said(str(FREE)))
    assert machine.ipv4_of(peer) is None
    assert FREE not in machine.tables.sources
    assert overlay_ipv6(peer.public_key) in machine.tables.routes


async def test_an_offline_peer_keeps_its_routes(network: Network) -> None:
    machine, other = Machine(network), network.node()
    peer = await machine.meet(other, said(str(FREE)))
    await until(lambda: machine.ipv4_of(peer) == FREE)
    network.tox.set_online(False)
    await until(lambda: not machine.tables.online)
    assert FREE in machine.tables.routes
