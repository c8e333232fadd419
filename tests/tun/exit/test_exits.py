"""Using an exit and being one, on the VPN of one machine in a namespace; the peers are made up."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from toxvpn._native.options import Options
from toxvpn._native.results import Connection
from toxvpn._native.toxcore import Tox
from toxvpn.config.vpn import VpnSection
from toxvpn.errors import ToxvpnError
from toxvpn.testing.fake_nodes import Once, until
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tox.events import PeerStatus
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tun.exit import leftovers
from toxvpn.tun.exit.client import REFUSED, ExitClient
from toxvpn.tun.exit.exits import ExitPlan
from toxvpn.tun.exit.leftovers import JOURNAL_NAME
from toxvpn.tun.exit.server import content, destinations, resolvers, surroundings
from toxvpn.tun.host import nftables
from toxvpn.tun.host.device import open_tun
from toxvpn.tun.host.kernel import KernelTables, Route
from toxvpn.tun.vpn import Vpn
from toxvpn.wire.addressing import ipv4_candidates
from toxvpn.wire.exitoffer import ExitOffer, offer
from toxvpn.wire.statusmessage import Status, ToxvpnStatus, decode, encode

real = [pytest.mark.real, pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun")]
NAME, SWITCH, GATEWAY = "tox0", "toxvpn_exit_tox0", "toxvpn_gateway_tox0"
KEY = bytes([7]) * 32
BOTH, IPV4 = frozenset({4, 6}), frozenset({4})


def ip(words: str) -> str:
    return subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True).stdout


def tables() -> set[str]:
    return {name for _, name in nftables.tables()}


class Machine:
    """One with a default route, in a fresh namespace; `dismissed`: a person has ended its run."""

    def __init__(self, directory: Path) -> None:
        for line in ("set lo up", "add eth0 type bridge", "set eth0 up"):
            ip(f"link {line}")
        ip("addr add 192.168.5.2/24 dev eth0")
        ip("route add default via 192.168.5.1")
        self.directory = directory
        self.node = Node(Tox(Options(local_discovery=False)), Once([]))
        self.own_status = OwnStatus(self.node)
        self.peer = self.node.accept(KEY)
        self.may: set[bytes] = set()
        self.granted: tuple[IPv4Network, ...] = ()
        self.dismissed = True

    def vpn(self, *, exits: bool = True, lan: bool = True) -> Vpn:
        client = ExitClient(KEY, "box", lan=lan, dismissed=lambda: self.dismissed) if exits else None
        plan = ExitPlan(client, lambda key: key in self.may, lambda key: self.granted)
        section, journal = VpnSection(interface=NAME), self.directory / JOURNAL_NAME
        return Vpn(self.node, self.own_status, section, journal, exits=plan)

    def says(self, vpn: Vpn, said: ExitOffer | None, connection: Connection = Connection.UDP) -> None:
        """The peer comes with its first address, and says that."""
        self.peer.connection = connection
        status = Status(next(ipv4_candidates(KEY)), ToxvpnStatus(exit=said))
        self.peer.status_text = encode(status)
        vpn._on_event(PeerStatus(self.peer, self.peer.status_text))

    def offers(self, versions: frozenset[int] = BOTH, dns: frozenset[int] = BOTH) -> ExitOffer | None:
        return offer(KEY, [self.node.tox.public_key], versions, dns)


def on_a_machine(directory: Path, scene: Callable[[Machine], Awaitable[Any]]) -> Any:
    async def play() -> Any:
        machine = Machine(directory)
        try:
            return await scene(machine)
        finally:
            machine.node.close()

    return in_new_netns(lambda: asyncio.run(play()))


class TestClient:
    pytestmark = real

    def test_the_kill_switch_is_there_before_the_device_and_goes_after_it(self, tmp_path: Path) -> None:
        async def scene(machine: Machine) -> None:
            taken = open_tun(NAME)
            with pytest.raises(ToxvpnError, match="in use"):
                machine.vpn()
            assert tables() == set(), "it was not ready, so nothing is blocked"
            taken.close()
            before = ip("rule") + ip("-6 rule")
            with machine.vpn():
                assert tables() == {SWITCH}
                assert "not from all fwmark 0x74 lookup 7630712" in ip("rule")
                assert "not from all fwmark 0x74 lookup 7630712" in ip("-6 rule")
                assert f"default dev {NAME}" in ip("route show table 7630712")
                assert f"default dev {NAME}" in ip("-6 route show table 7630712")
                assert Path("/proc/sys/net/ipv4/conf/all/src_valid_mark").read_text() == "1\n"
            assert tables() == set()
            assert ip("rule") + ip("-6 rule") == before

        on_a_machine(tmp_path, scene)

    def test_traffic_has_a_way_while_the_exit_offers_one(self, tmp_path: Path) -> None:
        """While it offers none, the datapath has no route, and answers with ICMP errors."""

        async def scene(machine: Machine) -> list[tuple[str | None, list[bool]]]:
            said = [
                machine.offers(),
                machine.offers(IPV4),
                offer(KEY, [bytes(32)], BOTH, BOTH),
                None,
                machine.offers(),
            ]
            found: list[tuple[str | None, list[bool]]] = []
            for each in said:
                with machine.vpn() as vpn:
                    assert vpn.exits.client is not None
                    machine.says(vpn, machine.offers())
                    machine.says(vpn, each)
                    problem, everywhere = vpn.exits.client.problem, map(ip_network, ("0.0.0.0/0", "::/0"))
                    found.append((problem, [vpn.datapath.remove_route(network) for network in everywhere]))
            return found

        assert on_a_machine(tmp_path, scene) == [
            (None, [True, True]),
            (None, [True, False]),
            (REFUSED, [False, False]),
            (REFUSED, [False, False]),
            (None, [True, True]),
        ]

    def test_dns_is_sent_to_an_exit_that_answers_it(self, tmp_path: Path) -> None:
        async def scene(machine: Machine) -> None:
            with machine.vpn() as vpn:
                machine.says(vpn, machine.offers(dns=IPV4))
                listed = nftables.run(f"list table inet {SWITCH}", "list")
                assert f"dnat ip to {next(ipv4_candidates(KEY))}" in listed and "dnat ip6" not in listed
                machine.says(vpn, None)
                assert "dnat ip " not in nftables.run(f"list table inet {SWITCH}", "list")

        on_a_machine(tmp_path, scene)

    def test_what_another_program_flushes_is_put_back(self, tmp_path: Path) -> None:
        async def scene(machine: Machine) -> None:
            with machine.vpn():
                rules = ip("rule")
                await asyncio.sleep(0)  # the first look
                nftables.run("flush ruleset", "flush")
                ip("rule del priority 30008")
                await until(lambda: tables() == {SWITCH} and ip("rule") == rules)

        on_a_machine(tmp_path, scene)

    def test_a_renamed_device_is_no_leftover(self, tmp_path: Path) -> None:
        async def scene(machine: Machine) -> None:
            with machine.vpn():
                ip(f"link set {NAME} down")
                ip(f"link set {NAME} name another0")
                elsewhere = tmp_path / "elsewhere"
                elsewhere.mkdir()
                assert not leftovers.clear(elsewhere) and tables() == {SWITCH}

        on_a_machine(tmp_path, scene)

    def test_what_a_person_did_not_end_stays_blocked(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """By whatever it ended: the next run takes it over, or `down`, or a run without an exit."""

        async def scene(machine: Machine) -> list[str]:
            machine.dismissed = False
            for _ in range(2):
                with machine.vpn() as vpn:
                    vpn.exits.hold()
                assert tables() == {SWITCH}
            taken = open_tun(NAME)
            with pytest.raises(ToxvpnError, match="in use"):
                machine.vpn()
            assert tables() == {SWITCH}, "a start that fails lets nothing out"
            taken.close()
            nftables.load("inet", "toxvpn_exit_another", "")
            with machine.vpn(exits=False):
                assert tables() == {"toxvpn_exit_another"}, "that is another network's"
            with machine.vpn() as vpn:
                vpn.exits.hold()
            machine.directory.joinpath(JOURNAL_NAME).unlink()  # by systemd, with the directory
            assert leftovers.clear(machine.directory)
            assert tables() == set() and not leftovers.clear(machine.directory)
            return caplog.messages

        said = on_a_machine(tmp_path, scene)
        assert any("stays blocked, for it is to use the exit box" in line for line in said)


class TestServer:
    pytestmark = real

    def test_who_may_exit_is_offered_it(self, tmp_path: Path) -> None:
        async def scene(machine: Machine) -> None:
            with machine.vpn(exits=False) as vpn:
                vpn.exits.look(vpn.network.read_kernel())

                def offered() -> ExitOffer | None:
                    said = decode(machine.node.tox.status_message).toxvpn
                    return said.exit if said else None

                def reaches(network: str) -> bool:
                    return vpn.datapath.remove_destination(ip_network(network), machine.peer.number)

                machine.says(vpn, None)
                assert offered() is None and tables() == set() and not reaches("0.0.0.0/0")
                machine.may.add(KEY)
                vpn.update_peers()
                said = offered()
                assert said is not None and said.is_for(machine.node.tox.public_key, KEY)
                assert said.versions == IPV4
                assert tables() == {GATEWAY}
                assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
                machine.may.clear()
                vpn.update_peers()
                assert offered() is None and tables() == set() and not reaches("0.0.0.0/0")

        on_a_machine(tmp_path, scene)

    def test_a_machine_that_uses_an_exit_is_none(self, tmp_path: Path) -> None:
        async def scene(machine: Machine) -> None:
            machine.may.add(KEY)
            with machine.vpn() as vpn:
                vpn.exits.look(vpn.network.read_kernel())
                machine.says(vpn, machine.offers())
                said = decode(machine.node.tox.status_message).toxvpn
                assert said is not None and said.exit is None
                assert tables() == {SWITCH}

        on_a_machine(tmp_path, scene)


# -- values ---------------------------------------------------------------------------------------


def allows(reach: Any, address: str) -> bool:
    """What the longest prefix says."""
    covering = [each for each in reach if ip_address(address) in each]
    return bool(covering) and bool(reach[max(covering, key=lambda each: each.prefixlen)])


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("203.0.113.9", True),
        ("2001:db8::9", True),
        ("10.1.1.1", False),
        ("192.168.1.1", False),
        ("100.64.0.7", False),
        ("169.254.169.254", False),
        ("127.0.0.1", False),
        ("0.0.0.1", False),
        ("224.0.0.251", False),
        ("255.255.255.255", False),
        ("fd00::1", False),
        ("fe80::1", False),
        ("ff02::1", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::192.168.1.1", False),
        ("64:ff9b::203.0.113.9", True),
        ("198.51.100.7", False),  # of this machine's own network
        ("192.168.77.5", True),  # granted
    ],
)
def test_the_internet_is_open_and_nothing_near_is(address: str, allowed: bool) -> None:
    reach = destinations([IPv4Network("198.51.100.0/24")], [IPv4Network("192.168.77.0/24")])
    assert allows(reach, address) is allowed


def route(destination: str, *interfaces: int, table: int = 254) -> Route:
    return Route(destination, 1, table, 4, None, interfaces, ())


def test_what_surrounds_a_machine(tmp_path: Path) -> None:
    found = surroundings(
        KernelTables(
            None,
            frozenset({(2, "198.51.100.7/24"), (2, "2001:db8:5::7/64"), (9, "100.64.1.1/32")}),
            (
                route("0.0.0.0/0", 2),
                route("10.8.0.0/16", 3),
                route("2000::/3", 3),  # a VPN's part of a default route
                route("100.64.3.3/32", 9),
                route("::/0", 9, table=0x746F78),
            ),
        ),
        9,
        [tmp_path / "missing"],
    )
    assert set(map(str, found.networks)) == {"198.51.100.0/24", "2001:db8:5::/64", "10.8.0.0/16"}
    assert found.versions == BOTH and found.resolvers == ()


def test_the_resolver_is_one_that_takes_packets_from_elsewhere() -> None:
    found = [("", each) for each in ("127.0.0.53", "fe80::1%eth0", "fe80::1", "odd", "100.64.1.1", "::1")]
    assert resolvers(found, ["100.64.1.1"]) == ()
    found += [("", each) for each in ("192.168.1.1", "9.9.9.9", "fd00::1")]
    assert list(map(str, resolvers(found, ["100.64.1.1"]))) == ["192.168.1.1", "fd00::1"]


def test_the_table_of_an_exit_is_about_its_peers_alone() -> None:
    text = content(9, [IPv4Address("100.64.3.3")], [IPv4Address("192.168.1.1"), IPv6Address("fd00::1")])
    assert text.count("ip saddr { 100.64.3.3 }") == 2
    assert "dnat ip to 192.168.1.1" in text and "ip6" not in text


def test_who_begins_something_with_a_peer_that_exits_is_here_or_advertised() -> None:
    behind = [IPv4Network("192.168.77.0/24")]
    text = content(9, [IPv4Address("100.64.3.3"), IPv6Address("fd00::3")], [], behind)
    rules = text[text.index("chain forward") :]
    assert rules.index("ip saddr 192.168.77.0/24 accept") < rules.index("drop")
    assert "oif 9 iif != 9 ip daddr { 100.64.3.3 } ct state new drop" in rules
    assert "oif 9 iif != 9 ip6 daddr { fd00::3 } ct state new drop" in rules
