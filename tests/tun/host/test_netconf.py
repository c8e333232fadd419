"""Real kernel tables in a fresh namespace: whatever happens, they end as they began."""

import asyncio
import json
import os
import signal
import subprocess
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.testing.netns import fork, have_namespaces, in_new_netns
from toxvpn.tun.host import nftables
from toxvpn.tun.host.changes import MAIN_TABLE, Change, NftTable
from toxvpn.tun.host.device import open_tun
from toxvpn.tun.host.journal import NetworkBusyError
from toxvpn.tun.host.kernel import KernelTables
from toxvpn.tun.host.netconf import NetworkChanges
from toxvpn.tun.host.nftables import table_name

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun"),
]

FORWARDING = "net/ipv4/ip_forward"
FORWARD = "chain forward { type filter hook forward priority filter; policy drop; }"
SNAPSHOT = ("link", "addr", "route show table all", "-6 route show table all", "rule", "-6 rule")


def snapshot() -> list[Any]:
    """What `ip -j` tells of links, addresses, routes and rules, and one sysctl."""
    answers: list[Any] = []
    for what in SNAPSHOT:
        output = subprocess.run(["ip", "-j", *what.split()], capture_output=True, check=True).stdout
        answers.append(json.loads(output or "[]"))
    return [*answers, Path("/proc/sys", FORWARDING).read_text(), nft()]


def nft() -> str:
    """The whole ruleset."""
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, check=True, text=True).stdout


def a_host() -> None:
    """A machine with a network of its own beside which ours is put."""
    # no link-local addresses that come and go by themselves between two snapshots
    Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode").write_text("1")
    Path("/proc/sys", FORWARDING).write_text("0")  # a new namespace takes it over from the machine's
    for line in (
        "ip link set lo up",
        "ip link add eth0 type veth peer name wire0",
        "ip link set wire0 up",
        "ip addr add 192.168.1.5/24 dev eth0",
        "ip link set eth0 up",
        "ip route add default via 192.168.1.1",
        "ip tuntap add tox0 mode tun",  # persistent: it outlives a killed process, as a bad case
        "ip link set tox0 up",  # from its first use on it has a queueing discipline
        "ip link set tox0 down",
    ):
        subprocess.run(line.split(), check=True)


def bring_up(network: NetworkChanges) -> None:
    """One change of every kind."""
    network.set_mtu("tox0", 1368)
    network.set_queue_length("tox0", 1000)
    network.add_address("tox0", IPv4Interface("100.64.3.2/32"))
    network.add_address("tox0", IPv6Interface("fd74:6f78::5/128"))
    network.link_up("tox0")
    network.add_route("tox0", IPv6Network("fd74:6f78::/32"))
    network.add_route("tox0", IPv4Network("100.64.9.9/32"), source=IPv4Address("100.64.3.2"))
    network.add_route("tox0", IPv4Network("0.0.0.0/0"), table=5000, metric=7)
    gateway = IPv4Address("192.168.1.1")
    network.add_route("eth0", IPv4Network("203.0.113.9/32"), gateway=gateway)
    network.make_unreachable(IPv6Network("fd74:6f78::/32"), 20_000)
    network.add_rule(5000, 5000, IPv4Network("100.64.3.2/32"))
    network.add_rule(5001, 5000, IPv6Network("::/0"), mark=116)
    network.add_rule(5002, 5000, IPv4Network("0.0.0.0/0"), mark=116, inverted=True)
    network.add_rule(
        5001, 254, IPv4Network("0.0.0.0/0"), destination=IPv4Network("10.0.0.0/8"), no_default=True
    )
    network.set_sysctl(FORWARDING, "1")
    network.set_table("inet", table_name("forward", "tox0"), FORWARD)


def test_everything_is_made_and_undone(tmp_path: Path) -> None:
    def scene() -> tuple[list[Any], list[Any], list[Any]]:
        a_host()
        before = snapshot()
        with NetworkChanges(tmp_path / "journal") as network:
            bring_up(network)
            during = snapshot()
        return before, during, snapshot()

    before, during, after = in_new_netns(scene)
    assert after == before
    assert not (tmp_path / "journal").exists()
    (tox0,) = (entry for entry in during[1] if entry["ifname"] == "tox0")
    assert (tox0["mtu"], tox0["txqlen"]) == (1368, 1000)
    addresses = {(entry["local"], entry["prefixlen"]) for entry in tox0["addr_info"]}
    assert {("100.64.3.2", 32), ("fd74:6f78::5", 128)} <= addresses
    assert not any(entry.get("tentative") for entry in tox0["addr_info"])
    ours = {(route["dst"], route["dev"]) for route in during[2] + during[3] if route.get("protocol") == "116"}
    assert ours == {
        ("fd74:6f78::/32", "tox0"),
        ("fd74:6f78::/32", "lo"),
        ("100.64.9.9", "tox0"),
        ("default", "tox0"),
        ("203.0.113.9", "eth0"),
    }
    assert {rule["priority"] for rule in during[4] + during[5]} >= {5000, 5001}
    assert during[6] == "1\n"
    assert "table inet toxvpn_forward_tox0" in during[7] and "policy drop" in during[7]


def test_a_table_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    name = table_name("forward", "tox0")

    def scene() -> tuple[str, str, str, str]:
        with NetworkChanges(tmp_path / "journal") as network:
            network.set_table("inet", name, FORWARD)
            network.set_table("inet", name, FORWARD.replace("drop", "accept"))
            replaced = nft()
            with pytest.raises(ToxvpnError, match=name) as refused:
                network.set_table("inet", name, "chain forward { type filter hook elsewhere priority 0; }")
            kept = nft()
            network.remove_table("inet", name)
            return replaced, str(refused.value), kept, nft()

    replaced, refusal, kept, removed = in_new_netns(scene)
    assert "policy accept" in replaced and "policy drop" not in replaced
    assert "unknown chain hook" in refusal and "\n" not in refusal
    assert (kept, removed) == (replaced, "")


def test_a_table_is_named_after_its_device() -> None:
    assert table_name("exit", "toxvpn0") == "toxvpn_exit_toxvpn0"
    assert table_name("exit", "tun-ä b") == "toxvpn_exit_tun.2d.c3.a4.20b"


def test_a_failure_half_way_undoes_what_was_done(tmp_path: Path) -> None:
    def scene() -> tuple[list[Any], list[Any], str]:
        a_host()
        before = snapshot()
        with pytest.raises(ToxvpnError) as caught, NetworkChanges(tmp_path / "journal") as network:
            bring_up(network)
            network.add_route("tox0", IPv6Network("fd74:6f78::/32"))
        return before, snapshot(), str(caught.value)

    before, after, message = in_new_netns(scene)
    assert after == before
    assert "fd74:6f78::/32" in message and "another program" in message


def test_what_others_made_is_refused_and_left(tmp_path: Path) -> None:
    """AddressRefusal changes are not ours, so the undo must not take them away."""

    def scene() -> tuple[list[Any], list[Any]]:
        a_host()
        before = snapshot()
        with NetworkChanges(tmp_path / "journal") as network:
            with pytest.raises(ToxvpnError):
                network.add_address("eth0", IPv4Interface("192.168.1.5/24"))
            with pytest.raises(ToxvpnError):
                network.add_route("eth0", IPv4Network("0.0.0.0/0"), gateway=IPv4Address("192.168.1.1"))
        return before, snapshot()

    before, after = in_new_netns(scene)
    assert after == before


def test_what_is_unreachable_already_is_so_after_a_kill_without_a_journal(tmp_path: Path) -> None:
    """A start must not fail for what an earlier one, or another VPN that starts as well, has refused."""
    networks: list[IPv4Network | IPv6Network] = [IPv4Network("100.64.9.9/32"), IPv6Network("fd74:6f78::/32")]

    def scene() -> tuple[bool, list[Any], list[Any]]:
        a_host()
        before = snapshot()
        for family, network in zip(("-4", "-6"), networks, strict=True):
            line = f"ip {family} route add unreachable {network} metric 20000 proto 116"
            subprocess.run(line.split(), check=True)
        left = snapshot()
        with NetworkChanges(tmp_path / "journal") as changes:
            for network in networks:
                changes.make_unreachable(network, 20_000)
            during = snapshot()
            changes.remove_unreachable(networks[0])
        assert left != before
        return during == left, before, snapshot()

    unchanged, before, after = in_new_netns(scene)
    assert unchanged
    assert after == before


def killed_while_up(journal: Path) -> None:
    """A child brings everything up and is killed without a chance to clean up."""
    receive, send = os.pipe()
    child = fork()
    if child == 0:
        network = NetworkChanges(journal)
        bring_up(network)
        os.write(send, b"up")
        signal.pause()
    os.close(send)
    assert os.read(receive, 2) == b"up"
    os.close(receive)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def recover(journal: Path) -> int:
    """What the next start does first; returns the number of changes undone."""
    with NetworkChanges(journal) as network:
        return network.recovered


def test_a_kill_is_undone_later(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    def scene() -> tuple[list[Any], list[Any], list[Any], int, int]:
        a_host()
        before = snapshot()
        killed_while_up(journal)
        left = snapshot()
        mode = journal.stat().st_mode & 0o777
        count = recover(journal)
        return before, left, snapshot(), count, mode

    before, left, after, count, mode = in_new_netns(scene)
    assert left != before
    assert after == before
    assert count == 16
    assert mode == 0o600
    assert not journal.exists()


def test_recovering_tolerates_what_is_gone_and_leaves_what_is_not_ours(tmp_path: Path) -> None:
    """The interface was removed and another has its name; somebody else changed the sysctl, too."""
    journal = tmp_path / "journal"

    def scene() -> tuple[list[Any], list[Any]]:
        a_host()
        killed_while_up(journal)
        for line in (
            "ip link del tox0",
            "ip link add tox0 type bridge",
            "ip addr add 100.64.3.2/32 dev tox0",
            "ip link set tox0 up",
            "ip route add 100.64.9.9/32 dev tox0",
            "ip -6 route del unreachable fd74:6f78::/32 metric 20000",
            "ip rule del priority 5000",
            "ip rule del priority 5001",
            "ip rule del priority 5002",
            "ip route del 203.0.113.9",
            "ip route add 203.0.113.9 via 192.168.1.7",
            "ip -6 rule del priority 5001",
            "nft delete table inet toxvpn_forward_tox0",
        ):
            subprocess.run(line.split(), check=True)
        Path("/proc/sys", FORWARDING).write_text("0")
        before = snapshot()
        recover(journal)
        return before, snapshot()

    before, after = in_new_netns(scene)
    assert after == before


def test_what_is_to_be_kept_outlasts_kill_start_and_end(tmp_path: Path) -> None:
    journal, kept = tmp_path / "journal", ("inet", table_name("forward", "tox0"))

    def keep(change: Change) -> bool:
        return isinstance(change, NftTable)

    def scene() -> list[tuple[int, bool]]:
        a_host()
        killed_while_up(journal)
        found = []
        for given in (keep, keep, lambda change: False):
            with NetworkChanges(journal, keep=given) as network:
                found.append((network.recovered, kept in nftables.tables()))
        return [*found, (int(journal.exists()), kept in nftables.tables())]

    assert in_new_netns(scene) == [(15, True), (0, True), (1, False), (0, False)]


def test_recovering_twice_is_recovering_once(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    def scene() -> list[int]:
        a_host()
        killed_while_up(journal)
        return [recover(journal), recover(journal)]

    assert in_new_netns(scene) == [16, 0]


def test_a_second_up_says_so_and_changes_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    def scene() -> tuple[str, bool]:
        a_host()
        with NetworkChanges(journal) as network:
            bring_up(network)
            before = snapshot()
            with pytest.raises(NetworkBusyError) as caught:
                NetworkChanges(journal)
            with pytest.raises(NetworkBusyError):
                recover(journal)
            return str(caught.value), snapshot() == before

    message, unchanged = in_new_netns(scene)
    assert unchanged
    assert message.startswith("this network is already up by process ")


def test_addresses_and_routes_can_be_taken_back(tmp_path: Path) -> None:
    def scene() -> tuple[list[Any], list[Any], int]:
        a_host()
        with NetworkChanges(tmp_path / "journal") as network:
            network.link_up("tox0")
            network.add_address("tox0", IPv4Interface("100.64.3.2/32"))
            before = snapshot()
            network.add_address("tox0", IPv4Interface("100.64.3.3/32"))
            network.add_route("tox0", IPv4Network("100.64.9.9/32"))
            network.remove_route("tox0", IPv4Network("100.64.9.9/32"))
            network.remove_route("tox0", IPv4Network("100.64.9.9/32"))
            network.remove_address("tox0", IPv4Interface("100.64.3.3/32"))
            network.remove_address("tox0", IPv4Interface("100.64.3.3/32"))
            after = snapshot()
            left = json.loads((tmp_path / "journal").read_text())["changes"]
        return before, after, len(left)

    before, after, left = in_new_netns(scene)
    assert after == before
    assert left == 2


def test_it_works_beneath_a_running_event_loop_and_without_a_journal() -> None:
    async def bring_up_and_down() -> bool:
        device = open_tun("tox1")
        with NetworkChanges() as network:
            network.add_address("tox1", IPv4Interface("100.64.3.2/32"))
            network.link_up("tox1")
            there = "100.64.3.2" in json.dumps(snapshot())
        device.close()
        return there

    assert in_new_netns(lambda: asyncio.run(bring_up_and_down()))


def test_a_missing_interface_is_one_line() -> None:
    def scene() -> str:
        with NetworkChanges() as network, pytest.raises(ToxvpnError) as caught:
            network.link_up("nothing0")
        return str(caught.value)

    assert in_new_netns(scene).startswith("there is no interface nothing0")


def test_a_machine_without_ipv6_says_so() -> None:
    def scene() -> str:
        a_host()
        Path("/proc/sys/net/ipv6/conf/tox0/disable_ipv6").write_text("1")
        with NetworkChanges() as network, pytest.raises(ToxvpnError) as caught:
            network.add_address("tox0", IPv6Interface("fd74:6f78::5/128"))
        return str(caught.value)

    assert "IPv6 is disabled" in in_new_netns(scene)


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


# -- what others do to it meanwhile ---------------------------------------------------------------


def up_with_everything(journal: Path | None) -> NetworkChanges:
    network = NetworkChanges(journal)
    network.add_address("tox0", IPv4Interface("100.64.3.2/32"))
    network.add_address("tox0", IPv6Interface("fd74:6f78::5/128"))
    network.link_up("tox0")
    network.add_route("tox0", IPv6Network("fd74:6f78::/32"), metric=10_007)
    network.add_route("tox0", IPv6Network("fd74:6f78::9/128"))
    network.add_route("tox0", IPv4Network("100.64.9.9/32"), source=IPv4Address("100.64.3.2"))
    network.add_rule(5000, 5000, IPv4Network("100.64.3.2/32"))
    network.add_rule(5001, 5000, IPv6Network("::/0"), mark=116)
    for number in (1, 2):
        destination = IPv4Network(f"10.{number}.0.0/16")
        network.add_rule(100, MAIN_TABLE, IPv4Network("0.0.0.0/0"), destination=destination, no_default=True)
    network.set_sysctl(FORWARDING, "1")
    network.set_sysctl("net/ipv4/conf/tox0/rp_filter", "0")
    network.set_table("inet", table_name("forward", "tox0"), f"{NAMED}\nset lans {{ {SET} }}")
    by_index = f"chain out {{ type filter hook output priority filter; oif {network.index('tox0')} drop; }}"
    network.set_table("inet", table_name("exit", "tox0"), by_index)
    return network


NAMED = 'chain forward { type filter hook forward priority filter; iifname "tox0" drop; }'
SET = "type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }"


def tables_of(network: NetworkChanges) -> KernelTables:
    return asyncio.run(network.read_kernel_async("tox0"))


def repair(network: NetworkChanges) -> list[str]:
    """The kinds of what was put back."""
    missing = network.missing("tox0", tables_of(network))
    assert all(network.restore(change) for change in missing)
    return [change.kind for change in missing]


def of_tox0() -> list[str]:
    """Its addresses, and what is ours; not what the kernel adds to them."""
    _, links, routes, routes6, *others, ruleset = snapshot()
    [tox0] = (link["addr_info"] for link in links if link["ifname"] == "tox0")
    ours = [each for each in routes + routes6 if each.get("protocol") == "116"]
    return sorted(map(str, [*tox0, *ours, *others, *ruleset.split("table ")]))


DISTURBANCES = {
    "ip addr flush dev tox0": ["address", "address", "route"],  # IPv6 keeps its routes
    "ip addr del 100.64.3.2/32 dev tox0": ["address", "route"],
    "ip -6 addr del fd74:6f78::5/128 dev tox0": ["address"],
    "ip route flush proto 116": ["route"],
    "ip -6 route flush proto 116": ["route", "route"],
    "ip rule del priority 5000": ["rule"],
    "ip -6 rule del priority 5001": ["rule"],
    "ip rule del priority 100 to 10.2.0.0/16 suppress_prefixlength 0": ["rule"],
    "sysctl -qw net.ipv4.ip_forward=0": ["sysctl"],
    "nft flush ruleset": ["nft-table", "nft-table"],
    "nft flush table inet toxvpn_forward_tox0": ["nft-table"],
    "nft delete chain inet toxvpn_forward_tox0 forward": ["nft-table"],
    "ip link set tox0 down": [],
    "ip link set tox0 mtu 1400": [],
}


def test_what_others_took_away_is_put_back(tmp_path: Path) -> None:
    def scene() -> dict[str, tuple[list[str], bool, list[str]]]:
        a_host()
        seen: dict[str, tuple[list[str], bool, list[str]]] = {}
        with up_with_everything(tmp_path / "journal") as network:
            whole = of_tox0()
            assert repair(network) == []
            for line in DISTURBANCES:
                subprocess.run(line.split(), check=True)
                if "link set" in line:
                    ip("link set tox0 up mtu 1500")
                    seen[line] = ([], False, repair(network))
                else:
                    kinds = repair(network)
                    seen[line] = (kinds, of_tox0() == whole, repair(network))
            seen["end"] = repair(network), of_tox0() == whole, []
        return seen

    seen = in_new_netns(scene)
    for line, kinds in DISTURBANCES.items():
        if "link set" not in line:
            assert (line, *seen[line]) == (line, kinds, True, [])
    assert seen["end"] == ([], True, [])
    # the kernel takes routes away with the link, and the IPv6 address too
    assert seen["ip link set tox0 down"][2] == ["address", "route", "route", "route"]
    assert seen["ip link set tox0 mtu 1400"][2] == []


def test_a_rule_is_taken_back_by_its_destination() -> None:
    def scene() -> tuple[str, str]:
        a_host()
        with up_with_everything(None) as network:
            everywhere = IPv4Network("0.0.0.0/0")
            network.remove_rule(100, MAIN_TABLE, everywhere, IPv4Network("10.3.0.0/16"))
            before = json.dumps(snapshot())
            network.remove_rule(100, MAIN_TABLE, everywhere, IPv4Network("10.1.0.0/16"))
            return before, json.dumps(snapshot())

    before, after = in_new_netns(scene)
    assert '"10.1.0.0"' in before and '"10.2.0.0"' in before
    assert '"10.1.0.0"' not in after and '"10.2.0.0"' in after


def test_what_is_there_meanwhile_is_not_put_back_twice(tmp_path: Path) -> None:
    """What was read is old by the time that it is acted on."""

    def scene() -> bool:
        a_host()
        with NetworkChanges(tmp_path / "journal") as network:
            network.link_up("tox0")
            old = tables_of(network)
            network.add_route("tox0", IPv4Network("100.64.9.9/32"))
            [change] = network.missing("tox0", old)
            return network.restore(change)

    assert in_new_netns(scene) is False


def test_a_device_that_is_down_gets_its_routes_when_it_is_up(tmp_path: Path) -> None:
    def scene() -> tuple[list[str], list[Any], list[Any]]:
        a_host()
        before = snapshot()
        with NetworkChanges(tmp_path / "journal") as network:
            network.link_up("tox0")
            ip("link set tox0 down")
            network.add_route("tox0", IPv4Network("100.64.9.9/32"))
            network.add_route("tox0", IPv6Network("fd74:6f78::9/128"))
            network.add_route("tox0", IPv4Network("100.64.9.8/32"))
            network.remove_route("tox0", IPv4Network("100.64.9.8/32"))
            ip("link set tox0 up")
            restored = repair(network)
        return restored, before, snapshot()

    restored, before, after = in_new_netns(scene)
    assert restored == ["route", "route"]
    assert after == before


@pytest.mark.parametrize("killed", [False, True])
def test_a_device_with_a_new_name_is_still_ours(tmp_path: Path, killed: bool) -> None:
    journal = tmp_path / "journal"

    def rename(old: str, new: str) -> None:
        for what in ("down", f"name {new}"):
            ip(f"link set {old} {what}")
            old = new if what != "down" else old
        ip(f"link set {new} up")

    def play() -> None:
        network = up_with_everything(journal)
        rename("tox0", "office")
        name = tables_of(network).link
        assert name is not None and name.name == "office"
        network.rename("tox0", "office")
        assert repair(network) == ["address", "route", "route", "route"]
        assert 'iifname "office" drop' in nft() and 'oif "office" drop' in nft()
        Path("/proc/sys/net/ipv4/conf/office/rp_filter").write_text("1")
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        assert repair(network) == ["sysctl", "nft-table", "nft-table"]
        network.add_route("tox0", IPv4Network("100.64.9.7/32"))
        network.remove_route("tox0", IPv4Network("100.64.9.9/32"))
        network.remove_address("tox0", IPv6Interface("fd74:6f78::5/128"))
        if killed:
            os._exit(0)
        network.close()

    def scene() -> tuple[list[Any], list[Any]]:
        a_host()
        rename("tox0", "office")
        ip("link set office down")
        before = snapshot()
        rename("office", "tox0")
        ip("link set tox0 down")
        child = fork()
        if child == 0:
            try:
                play()
            finally:
                os._exit(1 if killed else 0)
        assert os.waitpid(child, 0)[1] == 0
        recover(journal)
        return before, snapshot()

    before, after = in_new_netns(scene)
    assert after == before


def test_a_change_that_cannot_be_recorded_is_none(tmp_path: Path) -> None:
    def scene() -> list[str]:
        a_host()
        runtime, away = tmp_path / "run", tmp_path / "away"
        runtime.mkdir()
        with NetworkChanges(runtime / "journal") as network:
            network.link_up("tox0")
            runtime.rename(away)
            with pytest.raises(ToxvpnError, match="cannot be written"):
                network.add_route("tox0", IPv4Network("100.64.9.9/32"))
            away.rename(runtime)
            return repair(network)

    assert in_new_netns(scene) == []
