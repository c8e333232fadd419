"""Names are kept where programs look them up, as members and addresses come and go."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import dns.asyncquery
import dns.message
import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.names import keeper as keeper_module
from toxvpn.names.keeper import NamedLink, NameKeeper, domains_of, name_problems
from toxvpn.names.resolved import LinkSettings
from toxvpn.names.zone import Zone, ZoneMember

OWN, BOX = bytes(32), bytes([1]) * 32
HERE, THERE = IPv4Address("127.0.0.1"), IPv6Address("::1")


class FakeResolved:
    """Remembers what it was told, and says what a test makes it say."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.state: bool | None = None
        self.problem = ""
        self.told: list[LinkSettings] = []
        self.closed = False
        self._on_change = on_change

    def set(self, settings: LinkSettings) -> None:
        if settings not in self.told[-1:]:
            self.told.append(settings)

    def become(self, state: bool) -> None:
        self.state = state
        self._on_change()

    async def close(self) -> None:
        self.closed = True


class FakeHosts:
    def __init__(self) -> None:
        self.lines: Sequence[str] | None = None
        self.failure: str | None = None

    def set_hosts(self, mark: str, lines: Sequence[str]) -> None:
        if self.failure is not None:
            raise ToxvpnError(self.failure)
        assert mark == "toxvpn0"
        self.lines = list(lines)

    def remove_hosts(self, mark: str) -> None:
        self.lines = None


class Network:
    """What the keeper reads, and where it writes."""

    def __init__(self) -> None:
        self.members = [ZoneMember(OWN, None, "laptop", (THERE, HERE)), ZoneMember(BOX, "box", "", (HERE,))]
        self.link = NamedLink("toxvpn0", 7, (THERE, HERE))
        self.hosts = FakeHosts()
        self.keeper = NameKeeper(lambda: self.members, lambda: self.link, self.hosts, "toxvpn0", port=0)

    @property
    def resolved(self) -> FakeResolved:
        resolved = self.keeper._resolved
        assert isinstance(resolved, FakeResolved)
        return resolved

    async def settle(self) -> None:
        self.keeper.refresh()
        await asyncio.sleep(0.001)

    async def ask(self, name: str) -> list[str]:
        """By the server that systemd-resolved was told of."""
        at = self.resolved.told[-1]
        query = dns.message.make_query(name, "A")
        response = await dns.asyncquery.udp(query, str(at.server), 5, at.port)
        return [record.to_text() for rrset in response.answer for record in rrset]


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(keeper_module, "BATCH_S", 0.0)
    monkeypatch.setattr(keeper_module, "PAUSE_S", 0.0)
    monkeypatch.setattr(keeper_module, "SETTLED_S", 0.0)
    monkeypatch.setattr(keeper_module, "ResolvedLink", FakeResolved)
    monkeypatch.setattr(keeper_module, "hears_of", lambda address, index: index != 666)
    yield


@pytest.fixture
async def network(_quick: None) -> AsyncIterator[Network]:
    network = Network()
    yield network
    await network.keeper.close()


async def test_the_names_are_served_and_systemd_resolved_is_told_where(network: Network) -> None:
    await network.settle()
    [told] = network.resolved.told
    assert (told.interface, told.index, told.server) == ("toxvpn0", 7, THERE)
    assert told.domains == domains_of(network.keeper.zone)
    assert await network.ask("box.tox.internal") == ["127.0.0.1"]
    network.members[1] = replace(network.members[1], given="nas")
    assert await network.ask("nas.tox.internal") == ["127.0.0.1"]  # at once
    await network.settle()
    assert len(network.resolved.told) == 1


async def test_the_server_moves_with_our_addresses(network: Network) -> None:
    await network.settle()
    network.link = NamedLink("toxvpn0", 7, (HERE, IPv4Address("192.0.2.1")))  # the second is not ours yet
    await network.settle()
    assert network.resolved.told[-1].server == HERE
    assert await network.ask("box.tox.internal") == ["127.0.0.1"]
    old = network.resolved.told[0]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
        free.bind(("::1", old.port))


async def test_a_link_in_another_network_namespace_is_none_of_resolveds(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "toxvpn")
    network.link = NamedLink("toxvpn0", 666, (HERE,))
    await network.settle()
    assert network.resolved.told == []
    assert "--hosts keeps the names in /etc/hosts, or ask 127.0.0.1 port" in caplog.text


async def test_new_addresses_of_peers_are_asked_here_too(network: Network) -> None:
    await network.settle()
    network.members[1] = replace(network.members[1], addresses=(IPv4Address("100.64.1.2"),))
    await network.settle()
    assert "2.1.64.100.in-addr.arpa" in network.resolved.told[-1].domains


async def test_the_hosts_file_has_the_names_only_while_it_should(network: Network) -> None:
    await network.settle()
    assert not network.hosts.lines
    network.keeper.keep_hosts(True)
    await network.settle()
    assert network.hosts.lines == list(network.keeper.zone.lines())
    network.members.pop()
    await network.settle()
    assert network.hosts.lines == ["::1 laptop.tox.internal", "127.0.0.1 laptop.tox.internal"]
    network.keeper.keep_hosts(False)
    await network.settle()
    assert network.hosts.lines is None


async def test_a_hosts_file_that_cannot_be_written_is_told_once(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    network.hosts.failure = "cannot write /etc/hosts: Read-only file system"
    network.keeper.keep_hosts(True)
    await network.settle()
    await network.settle()
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "names are not in /etc/hosts: cannot write /etc/hosts: Read-only file system"
    ]


async def test_it_is_told_who_looks_the_names_up(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await network.settle()
    network.resolved.become(False)
    await asyncio.sleep(0.001)
    network.resolved.become(True)
    network.resolved.become(False)  # it is restarted
    network.resolved.become(True)
    await asyncio.sleep(0.001)
    port = network.resolved.told[-1].port
    assert [record.message for record in caplog.records] == [
        "no program here looks up *.tox.internal by itself, as systemd-resolved does not do it: "
        f"--hosts keeps the names in /etc/hosts, or ask ::1 port {port}",
        "systemd-resolved asks this machine for *.tox.internal",
    ]


async def test_a_port_that_is_taken_is_told_and_the_names_are_served(
    _quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(socket.socket(type=socket.SOCK_DGRAM)) as dnsmasq:
        dnsmasq.bind(("0.0.0.0", 0))
        port = dnsmasq.getsockname()[1]
        network = Network()
        network.link = NamedLink("toxvpn0", 7, (HERE,))
        network.keeper._port = port
        await network.settle()
        assert await network.ask("box.tox.internal") == ["127.0.0.1"]
        await network.keeper.close()
    [line] = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith(f"port {port} of 127.0.0.1 is taken") and "names are served at port" in line


async def test_at_the_end_all_is_taken_back(network: Network) -> None:
    network.keeper.keep_hosts(True)
    await network.settle()
    await network.keeper.close()
    network.keeper.refresh()
    await asyncio.sleep(0.001)
    assert network.resolved.closed and network.hosts.lines is None
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
        free.bind(("::1", network.resolved.told[-1].port))


async def test_a_peer_that_keeps_changing_its_name_fills_no_log_and_keeps_no_disk_busy(
    network: Network, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    network.keeper.keep_hosts(True)
    for number in range(5):
        network.members[1] = ZoneMember(BOX, None, f"bо{number}")
        await network.settle()
    [line] = [record.message for record in caplog.records]
    assert line.startswith("peer 01010101: it has no name on the network")
    monkeypatch.setattr(keeper_module, "PAUSE_S", 3600)
    await network.settle()
    before = network.hosts.lines
    network.members.append(ZoneMember(bytes([2]) * 32, "nas", "", (HERE,)))
    await network.settle()
    assert network.hosts.lines == before
    assert await network.ask("nas.tox.internal") == ["127.0.0.1"]  # DNS does not wait


async def test_the_changes_of_a_start_are_taken_at_once(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "PAUSE_S", 3600)
    network.keeper.keep_hosts(True)
    for name in ("a", "b", "c"):
        network.members[1] = ZoneMember(BOX, name, "", (HERE,))
        await network.settle()
        assert f"{HERE} {name}.tox.internal" in (network.hosts.lines or [])


def test_the_domains_are_the_names_and_the_addresses() -> None:
    zone = Zone.of([ZoneMember(OWN, "a", "", (IPv6Address("fd74:6f78::1"), IPv4Address("100.64.1.2")))])
    assert domains_of(zone) == ("tox.internal", "8.7.f.6.4.7.d.f.ip6.arpa", "2.1.64.100.in-addr.arpa")
    many = tuple(IPv4Address(0x64400000 + number) for number in range(1000))
    assert len(domains_of(Zone.of([ZoneMember(OWN, "a", "", many)]))) < 256


def test_problems_are_told_with_a_remedy() -> None:
    members = [
        ZoneMember(bytes([2]) * 32, None, "box"),
        ZoneMember(BOX, None, "box"),
        ZoneMember(bytes([3]) * 32, None, "bоx"),
        ZoneMember(bytes([4]) * 32, "nas", "bоx"),
        ZoneMember(bytes([5]) * 32),
    ]
    nameless = [ZoneMember(OWN)]
    assert name_problems(Zone.of(nameless), nameless) == {
        OWN: "this machine has no name on the network, as its host name cannot be one; "
        "`name` in [vpn] gives it one"
    }
    problems = name_problems(Zone.of(members), members)
    assert problems == {
        bytes([2]) * 32: "this machine is box-2.tox.internal, for 'box' is another machine's; "
        "`name` in [vpn] gives it one",
        bytes([3])
        * 32: "it has no name on the network, as 'bоx' is not used: a name on the network has letters "
        "from a to z, digits and '-' only; `toxvpn peer name 03030303 NAME` gives it one",
    }
