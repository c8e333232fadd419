"""The VPN on a real kernel, each test in a network namespace of its own; toxcore is real and meets nobody."""

import asyncio
import logging
import socket
import struct
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from toxvpn._native.options import Options
from toxvpn._native.path.packets import DropReason
from toxvpn._native.toxcore import Tox
from toxvpn.config.vpn import VpnSection
from toxvpn.errors import ConfigError, ToxvpnError
from toxvpn.testing.fake_nodes import Once, until
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tox.events import PeerStatus
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import Peer
from toxvpn.tun import vpn as vpn_module
from toxvpn.tun.host import netconf
from toxvpn.tun.host.device import open_tun
from toxvpn.tun.neighbours import local_networks as local_networks_module
from toxvpn.tun.neighbours.local_networks import local_networks
from toxvpn.tun.vpn import QUEUE_PACKETS, Vpn
from toxvpn.wire.addressing import RANGES, ipv4_candidates, overlay_ipv6
from toxvpn.wire.statusmessage import Status, ToxvpnStatus, decode, encode

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun"),
]

NAME = "tox0"


class Machine:
    """A node in a fresh namespace, which `ip` shows as `before`."""

    def __init__(self, directory: Path) -> None:
        self.journal = directory / "journal"
        self.node = Node(Tox(Options(local_discovery=False)), Once([]))
        self.own_status = OwnStatus(self.node)
        self.before = shown()

    def vpn(
        self,
        belongs: Callable[[bytes], bool] = lambda key: True,
        allowed: Mapping[bytes, IPv4Address] | None = None,
        **options: Any,
    ) -> Vpn:
        chosen = VpnSection(interface=NAME, **options)
        return Vpn(self.node, self.own_status, chosen, self.journal, belongs, allowed=allowed)

    @property
    def says(self) -> Any:
        return decode(self.node.tox.status_message)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def shown() -> str:
    tables = ("link", "addr", "route show table all", "-6 route show table all", "rule", "-6 rule")
    return "\n".join(ip(*table.split()) for table in tables)


def on_a_machine(directory: Path, scene: Callable[[Machine], Awaitable[Any]]) -> Any:
    """What the scene returns; the network is the same after it as before, and the journal is gone."""

    async def play() -> Any:
        ip("link", "set", "lo", "up")
        machine = Machine(directory)
        try:
            result = await scene(machine)
        finally:
            machine.node.close()
        assert shown() == machine.before
        assert not machine.journal.exists()
        return result

    return in_new_netns(lambda: asyncio.run(play()))


def test_it_is_up_and_leaves_no_trace(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        key = machine.node.tox.public_key
        with machine.vpn() as vpn:
            assert vpn.router.own_ipv4 == next(ipv4_candidates(key))
            assert vpn.ipv6 == overlay_ipv6(key)
            addresses, link = ip("addr", "show", NAME), ip("link", "show", NAME)
            assert f"{vpn.router.own_ipv4}/32" in addresses and f"{vpn.ipv6}/128" in addresses
            assert (
                f"mtu 1368 qdisc pfifo_fast state UNKNOWN mode DEFAULT group default qlen {QUEUE_PACKETS}"
                in (link)
            )
            assert f"fd74:6f78::/32 dev {NAME}" in ip("-6", "route")
            said = machine.says
            assert said.ip4 == vpn.router.own_ipv4
            assert (said.toxvpn.ip6, said.toxvpn.mtu) == (vpn.ipv6, 1368)
        vpn.close()

    on_a_machine(tmp_path, scene)


def test_the_friends_that_belong_are_in_and_the_others_are_not(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        own = [machine.node.accept(bytes([number]) * 32) for number in (1, 2)]
        admitted = {own[0].public_key}
        with machine.vpn(lambda key: key in admitted) as vpn:
            assert [member.peer for member in vpn.router.peers] == own[:1]
            admitted.add(own[1].public_key)
            admitted.remove(own[0].public_key)
            vpn.update_peers()
            assert [member.peer for member in vpn.router.peers] == own[1:]
            machine.node.remove(own[1])
            assert vpn.router.peers == []

    on_a_machine(tmp_path, scene)


@pytest.mark.parametrize("why", ["disabled", "small MTU"])
def test_without_ipv6_there_is_still_ipv4(tmp_path: Path, why: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(machine: Machine) -> list[str]:
        if why == "disabled":
            for which in ("all", "default"):
                Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
            machine.before = shown()
        with caplog.at_level(logging.WARNING), machine.vpn(mtu=1000 if why == "small MTU" else 1368) as vpn:
            assert vpn.ipv6 is None
            assert "inet6" not in ip("addr", "show", NAME)
            assert f"inet {vpn.router.own_ipv4}/32" in ip("addr", "show", NAME)
            assert (machine.says.ip4, machine.says.toxvpn.ip6) == (vpn.router.own_ipv4, None)
        return caplog.messages

    assert on_a_machine(tmp_path, scene) == [
        f"{NAME} has no IPv6: it is disabled on this machine, or the MTU is below 1280"
    ]


def test_a_local_network_in_our_range_moves_us_to_another(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        ip("addr", "add", "100.64.1.1/16", "dev", "lo")
        machine.before = shown()
        with machine.vpn() as vpn:
            assert vpn.router.own_ipv4 in RANGES[1]

    on_a_machine(tmp_path, scene)


def test_with_local_networks_in_every_range_there_is_ipv6_alone(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        for network in RANGES:
            ip("addr", "add", f"{network[1]}/{network.prefixlen}", "dev", "lo")
        machine.before = shown()
        with machine.vpn() as vpn:
            assert vpn.router.own_ipv4 is None
            assert machine.says.ip4 is None
            assert f"{vpn.ipv6}/128" in ip("addr", "show", NAME)

    on_a_machine(tmp_path, scene)


def test_a_chosen_address_with_its_network(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        with machine.vpn(address=IPv4Interface("10.9.8.7/24")) as vpn:
            assert str(vpn.router.own_ipv4) == "10.9.8.7"
            assert f"10.9.8.0/24 dev {NAME}" in ip("route")

    on_a_machine(tmp_path, scene)


def test_a_chosen_address_in_a_local_network_is_refused(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        ip("addr", "add", "10.9.8.1/24", "dev", "lo")
        machine.before = shown()
        with pytest.raises(ConfigError, match=r"10\.9\.8\.7 lies in 10\.9\.8\.0/24 of the interface lo"):
            machine.vpn(address=IPv4Interface("10.9.8.7/32"))

    on_a_machine(tmp_path, scene)


def test_a_name_that_another_program_uses_is_refused(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        other = open_tun(NAME)
        machine.before = shown()
        with pytest.raises(ToxvpnError, match=f"the interface {NAME} is in use by another program"):
            machine.vpn()
        assert shown() == machine.before
        other.close()
        machine.before = shown()

    on_a_machine(tmp_path, scene)


def test_two_networks_on_one_machine(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        other = Node(Tox(Options(local_discovery=False)), Once([]))
        peers = machine.node.accept(bytes([8]) * 32), other.accept(bytes([9]) * 32)
        chosen = VpnSection(interface="tox1")
        with machine.vpn() as one, Vpn(other, OwnStatus(other), chosen, tmp_path / "other") as two:
            addresses = {one.router.own_ipv4, two.router.own_ipv4}
            assert len(addresses) == 2 and None not in addresses
            for peer, device in zip(peers, (NAME, "tox1"), strict=True):
                assert f"{overlay_ipv6(peer.public_key)} dev {device}" in ip("-6", "route")
        other.close()

    on_a_machine(tmp_path, scene)


def add_device() -> None:
    """One that outlives the program that uses it: so what that has changed on it shows."""
    ip("tuntap", "add", NAME, "mode", "tun", "vnet_hdr")
    ip("link", "set", NAME, "up")  # gets its queueing discipline, and keeps it
    ip("link", "set", NAME, "down")


def test_a_device_that_was_there_before_is_left_as_it_was(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        add_device()
        machine.before = shown()
        with machine.vpn():
            assert shown() != machine.before

    on_a_machine(tmp_path, scene)


STEPS = ("set_queue_length", "set_mtu", "add_address", "link_up", "add_route")


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_half_way_leaves_nothing_behind(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ToxvpnError("the kernel says no")

    async def scene(machine: Machine) -> None:
        add_device()
        machine.before = shown()
        with pytest.raises(ToxvpnError, match="the kernel says no"):
            machine.vpn()

    monkeypatch.setattr(netconf.NetworkChanges, step, fail)
    on_a_machine(tmp_path, scene)


def test_a_failure_after_everything_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ToxvpnError("a bug")

    async def scene(machine: Machine) -> None:
        with pytest.raises(ToxvpnError, match="a bug"):
            machine.vpn()

    monkeypatch.setattr(Vpn, "update_peers", fail)
    on_a_machine(tmp_path, scene)


def test_what_tox_itself_sends_never_goes_into_the_network(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        with machine.vpn() as vpn, socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_UDP) as tox:
            tox.bind((str(vpn.ipv6), 0))
            port = machine.node.tox.udp_port
            assert port
            tox.sendto(struct.pack("!HHHH", port, 9, 8, 1), ("fd74:6f78::9", 0))
            await until(lambda: vpn.datapath.drops[DropReason.LOOP] == 1)

    on_a_machine(tmp_path, scene)


def test_a_device_that_somebody_removes_is_noticed(tmp_path: Path) -> None:
    async def scene(machine: Machine) -> None:
        gone: list[bool] = []
        chosen = VpnSection(interface=NAME)
        report = lambda: gone.append(True)  # noqa: E731
        with Vpn(machine.node, machine.own_status, chosen, machine.journal, on_device_removed=report):
            ip("link", "del", NAME)
            await until(lambda: gone)
        assert gone == [True]

    on_a_machine(tmp_path, scene)


# -- what others do to the network meanwhile --------------------------------------------------------

CHOSEN = IPv4Address("192.168.77.1")


def a_peer(vpn: Vpn, machine: Machine, number: int, *addresses: IPv4Address) -> Peer:
    """One that has stated these."""
    peer = machine.node.accept(bytes([number]) * 32)
    vpn.router.add(peer)
    more = ToxvpnStatus(more_ip4=addresses[1:])
    vpn.router.on_event(PeerStatus(peer, encode(Status(addresses[0], more))))
    return peer


def way(address: object) -> str:
    return subprocess.run(["ip", "route", "get", str(address)], capture_output=True, text=True).stdout


async def a_card() -> None:
    """A network card on a machine at home, without any network as yet."""
    # no link-local addresses that come and go by themselves
    Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode").write_text("1")
    for line in ("link add eth0 type veth peer name wire0", "link set wire0 up", "link set eth0 up"):
        ip(*line.split())
    await until(lambda: ip("link").count("state UP") == 2)


@pytest.mark.parametrize(
    "disturbance",
    [
        "addr flush dev tox0",
        "addr del {own}/32 dev tox0",
        "route flush proto 116",
        "-6 route flush proto 116",
        "link set tox0 down; link set tox0 up",
        "link set tox0 down; link set tox0 name office; link set office up",
    ],
)
def test_what_is_disturbed_is_put_right(
    tmp_path: Path, disturbance: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(machine: Machine) -> list[str]:
        with machine.vpn() as vpn:
            peer = a_peer(vpn, machine, 8, next(ipv4_candidates(bytes([8]) * 32)))
            whole = addresses_and_routes(vpn.interface)
            assert str(overlay_ipv6(peer.public_key)) in whole
            for line in disturbance.format(own=vpn.router.own_ipv4).split("; "):
                ip(*line.split())
                if line.endswith("down"):
                    await until(lambda: not vpn.up)
            await until(lambda: ("office" in disturbance) == (vpn.interface != NAME))
            await until(lambda: addresses_and_routes(vpn.interface) == whole)
        return caplog.messages

    lines = [line for line in on_a_machine(tmp_path, scene) if "put back" in line]
    assert 1 <= len(lines) <= 2


def addresses_and_routes(interface: str) -> str:
    """Of the VPN's device, whatever its name, as words in any order."""
    words = [ip("addr", "show", interface), ip("route"), ip("-6", "route")]
    lines = [line.strip() for text in words for line in text.splitlines() if "inet" in line or "116" in line]
    lines = [line for line in lines if "fe80:" not in line]  # the kernel's own
    return "\n".join(sorted(line.replace(interface, NAME) for line in lines))


def test_a_place_with_a_peers_address_in_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A peer has the address of the router in the place that we come to; and another place has ours."""

    async def scene(machine: Machine) -> None:
        await a_card()
        machine.before = shown()
        peer_key = bytes([8]) * 32
        chosen = IPv4Interface("10.203.0.2/24")
        with machine.vpn(address=chosen, allowed={peer_key: CHOSEN}) as vpn:
            a_peer(vpn, machine, 8, CHOSEN)
            member = vpn.router.peer(peer_key)
            assert member and member.ipv4 == CHOSEN and f"dev {NAME}" in way(CHOSEN)
            ip("addr", "add", "192.168.77.20/24", "dev", "eth0")
            await until(lambda: member.ipv4 is None)
            assert "dev eth0" in way(CHOSEN)
            assert "this machine uses it for something else" in str(member.address_problem)
            ip("addr", "del", "192.168.77.20/24", "dev", "eth0")
            await until(lambda: member.ipv4 == CHOSEN)

            ip("addr", "add", "192.168.1.20/24", "dev", "eth0")
            ip("route", "add", "192.168.0.0/16", "via", "192.168.1.1")
            await until(lambda: member.ipv4 is None)
            assert "via 192.168.1.1" in way(CHOSEN)
            ip("route", "del", "192.168.0.0/16")
            await until(lambda: member.ipv4 == CHOSEN)

            ip("addr", "add", "10.203.0.77/24", "dev", "eth0")
            await until(lambda: vpn.router.own_ipv4 in RANGES[0])
            moved = f"{vpn.router.own_ipv4} instead of 10.203.0.2"
            assert f"inet {vpn.router.own_ipv4}/32" in ip("addr", "show", NAME)
            assert "10.203.0.2" not in ip("addr", "show", NAME) and machine.says.ip4 in RANGES[0]
            assert vpn.moved == f"{moved}: this machine uses 10.203.0.0/24 of the interface eth0"
            assert f"{NAME}: {vpn.moved}" in caplog.messages
            ip("addr", "flush", "dev", "eth0", "scope", "global")
            await until(lambda: vpn.router.own_ipv4 == chosen.ip)
            assert machine.says.ip4 == chosen.ip and vpn.moved == ""
            assert f"{NAME}: 10.203.0.2 again" in caplog.messages

    on_a_machine(tmp_path, scene)


def test_what_resolv_conf_names_is_no_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = tmp_path / "resolv.conf"
    local = partial(local_networks, resolver_files=[resolver])
    monkeypatch.setattr(local_networks_module, "local_networks", local)
    monkeypatch.setattr(vpn_module, "RESOLVER_FILES", [resolver])

    async def scene(machine: Machine) -> None:
        with machine.vpn(allowed={bytes([8]) * 32: CHOSEN}) as vpn:
            a_peer(vpn, machine, 8, CHOSEN)
            [member] = vpn.router.peers
            assert member.ipv4 == CHOSEN
            resolver.write_text(f"nameserver {CHOSEN}\n")
            await until(lambda: member.ipv4 is None)

    on_a_machine(tmp_path, scene)


def test_tailscale_started_later_moves_us_to_another_range(tmp_path: Path) -> None:
    """As it is on Linux: one address on an interface, routes in a table of its own."""

    async def scene(machine: Machine) -> None:
        await a_card()
        machine.before = shown()
        peer_key = bytes([8]) * 32
        there = [next(ipv4_candidates(peer_key, [each])) for each in RANGES]
        with machine.vpn() as vpn:
            peer = a_peer(vpn, machine, 8, there[0])
            [member] = vpn.router.peers
            first = vpn.router.own_ipv4
            assert first in RANGES[0] and member.ipv4 == there[0]
            ip("addr", "add", "100.99.98.97/32", "dev", "eth0")
            ip("route", "add", "100.100.100.100/32", "dev", "eth0", "table", "52")
            await until(lambda: vpn.router.own_ipv4 in RANGES[1])
            assert machine.says.every_ip4 == vpn.router.own
            assert first in vpn.router.own, "connections from before live on"
            used = "this machine uses 100.99.98.97/32 of the interface eth0"
            assert vpn.moved == f"{vpn.router.own_ipv4} instead of an address in 100.64.0.0/10: {used}"
            vpn.router.on_event(
                PeerStatus(peer, encode(Status(there[0], ToxvpnStatus(more_ip4=tuple(there[1:])))))
            )
            assert member.ipv4 == there[1]
            assert vpn.peer_moved(member) == f"{there[1]} instead of {there[0]}: {used}"
            assert f"{there[1]} dev {NAME} src {vpn.router.own_ipv4}" in way(there[1])
            ip("addr", "flush", "dev", "eth0", "scope", "global")
            ip("route", "flush", "table", "52")

    on_a_machine(tmp_path, scene)
