"""The lab itself: its network does what it says."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Literal

import pytest

from lab import Delay, Host, Lab, LabError, Nat, processes, wait_until
from lab.apps import iperf3, iperf3_server, listening_ports
from lab.faults import freeze, thaw
from lab.nat import NatKind
from lab.require import require
from lab.ticks import TickingStream

UDP_SEGMENT = 103  # linux/udp.h
BOOTSTRAP_INFO = bytes([0xF0])  # toxcore's BOOTSTRAP_INFO_PACKET_ID; a request has 78 bytes
BOOTSTRAP_INFO_REQUEST = BOOTSTRAP_INFO.ljust(78, b"\0")


def udp(host: Host, port: int = 0) -> socket.socket:
    opened = host.socket(type=socket.SOCK_DGRAM)
    opened.bind(("0.0.0.0", port))
    opened.settimeout(2)
    return opened


def udp6(host: Host, port: int = 0) -> socket.socket:
    opened = host.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    opened.bind(("::", port))
    opened.settimeout(2)
    return opened


def hears_nothing(listener: socket.socket) -> bool:
    listener.settimeout(0.2)
    with pytest.raises(TimeoutError):
        listener.recv(1)
    return True


def drain(listener: socket.socket) -> list[bytes]:
    """All that has been delivered by now; in a lab without delay, sending is delivering."""
    received = []
    listener.setblocking(False)
    try:
        while True:
            received.append(listener.recv(2048))
    except BlockingIOError:
        return received


def mapped_ports(inner: Host, port: int, servers: list[Host]) -> list[int]:
    """The public ports under which the servers see one socket of a host behind a NAT."""
    ports = []
    with udp(inner, port) as client:
        for server in servers:
            with udp(server, 5000) as listener:
                client.sendto(b"who am I", (server.ipv4, 5000))
                ports.append(listener.recvfrom(100)[1][1])
    return ports


def test_hosts_reach_each_other(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    assert a.ipv4 and b.ipv4 and b.ipv6
    assert a.ping(b.ipv4) and a.ping(b.ipv6)
    with pytest.raises(OSError, match="unreachable"):
        a.connect("192.168.1.2", 1)


def test_hosts_on_the_internet_share_no_link(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    with udp(a) as shout, udp(b, 33445) as listener:
        shout.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for address in ("255.255.255.255", "203.0.113.255"):
            shout.sendto(b"anybody?", (address, 33445))
        assert hears_nothing(listener)


def test_programs_run_as_an_unprivileged_user(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    assert a.run(["sh", "-c", "id -un; id -G; echo $HOME"], user="nobody").stdout.split() == [
        "nobody",
        "65534",
        "/nonexistent",
    ]
    assert a.run(["ping", "-c1", str(b.ipv4)], user="nobody").returncode == 0
    assert a.run(["cat", "/proc/sys/net/ipv4/ping_group_range"], user="nobody").stdout == "0\t2147483647\n"


def test_any_user_can_run_a_repository_in_a_private_folder(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    repository = home / "repository"
    repository.mkdir(parents=True)
    home.chmod(0o700)
    repository.joinpath("file").write_text("readable")
    home.joinpath("secret").touch()
    monkeypatch.setattr(processes, "REPOSITORY", repository)
    host = lab.host("a")
    assert host.run(["cat", str(repository / "file")], user="nobody").stdout == "readable"
    assert host.run(["id", "-un"], user="nobody").stdout == "nobody\n"
    assert host.run(["id", "-G"], user="nobody").stdout == "65534\n"
    assert host.run(["ls", str(home)], user="nobody").stdout == "repository\n"
    assert host.run(["unshare", "--mount", "true"], user="nobody", check=False).returncode
    assert sorted(path.name for path in home.iterdir()) == ["repository", "secret"]


def test_a_failing_program_is_quoted(lab: Lab) -> None:
    host = lab.host("a")
    with pytest.raises(LabError, match=r"(?s)on a ended with 3:\nout\nwhy"):
        host.run(["sh", "-c", "echo out; echo why >&2; exit 3"])
    with pytest.raises(LabError, match=r"(?s)took over 0\.2 s:\nsome"):
        host.run(["sh", "-c", "echo some; exec sleep 60"], timeout_s=0.2)
    assert host.run(["sh", "-c", "cat; echo $HERE"], input="text", env={"HERE": "too"}).stdout == "texttoo\n"


def test_a_program_that_ignores_sigterm_is_killed(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    host = lab.host("a")
    stubborn = host.popen(["sh", "-c", "trap '' TERM; echo; exec sleep 1000"], stdout=subprocess.PIPE)
    assert stubborn.stdout and stubborn.stdout.readline()
    host.stop(stubborn, grace_s=0.1)
    assert stubborn.returncode == -signal.SIGKILL
    assert "did not end on SIGTERM" in caplog.text


def test_the_caller_stays_in_its_own_namespace(lab: Lab) -> None:
    def namespaces() -> tuple[int, int]:
        return Path("/proc/self/ns/net").stat().st_ino, Path("/proc/thread-self/ns/net").stat().st_ino

    before, host = namespaces(), lab.host("a")
    inside = host.call(lambda: Path("/proc/thread-self/ns/net").stat().st_ino)
    assert inside == host.namespace.path.stat().st_ino != before[0]
    with pytest.raises(ZeroDivisionError):
        host.call(lambda: 1 // 0)
    host.socket().close()
    assert namespaces() == before


async def test_usable_inside_a_running_loop(lab: Lab) -> None:
    assert lab.host("a").ping(str(lab.nat("home").host("b").ipv4), timeout_s=0.1) == []


def test_hosts_behind_a_nat_reach_out_and_each_other(lab: Lab) -> None:
    server, nat = lab.host("server"), lab.nat("home")
    a, b = nat.host("a"), nat.host("b")
    assert (a.ipv4, b.ipv4, b.ipv6) == ("192.168.1.2", "192.168.1.3", None)
    assert a.ping(str(server.ipv4)) and a.ping(str(b.ipv4))
    with udp(a, 4000) as client, udp(server, 5000) as listener:
        client.sendto(b"out", (server.ipv4, 5000))
        assert listener.recvfrom(100) == (b"out", (nat.ipv4, 4000))
        listener.sendto(b"in", (nat.ipv4, 4000))
        assert client.recv(100) == b"in"


def test_a_nat_drops_what_nobody_asked_for(lab: Lab) -> None:
    friend, stranger, nat = lab.host("friend"), lab.host("stranger"), lab.nat("home")
    inner = nat.host("inner")
    assert stranger.ping(str(nat.ipv4), timeout_s=0.2) == []
    with udp(inner, 4000) as client, udp(friend, 5000) as known, udp(stranger, 5000) as unknown:
        client.sendto(b"out", (friend.ipv4, 5000))
        assert known.recvfrom(100) == (b"out", (nat.ipv4, 4000))
        unknown.sendto(b"in", (nat.ipv4, 4000))
        assert hears_nothing(client)


def test_a_punch_packet_from_outside_does_not_move_the_mapping(lab: Lab) -> None:
    friend, nat = lab.host("friend"), lab.nat("home")
    with udp(friend, 5000) as punch:
        punch.sendto(b"punch", (nat.ipv4, 4000))
    assert mapped_ports(nat.host("inner"), 4000, [friend]) == [4000]


def test_a_cone_keeps_the_port_and_a_symmetric_nat_does_not(lab: Lab) -> None:
    servers = [lab.host("s1"), lab.host("s2"), lab.host("s3")]
    assert mapped_ports(lab.nat("cone").host("a"), 4000, servers) == [4000] * 3
    ports = mapped_ports(lab.nat("sym", "symmetric").host("b"), 4000, servers)
    assert len({4000, *ports}) >= 3  # chance may repeat one of them


def test_a_moved_cone_has_another_port_for_everybody(lab: Lab) -> None:
    servers = [lab.host("s1"), lab.host("s2"), lab.host("s3")]
    ports = set(mapped_ports(lab.nat("moved", "moved-cone").host("a"), 4000, servers))
    assert len(ports) == 1 and ports != {4000}


def test_a_full_cone_lets_strangers_in(lab: Lab) -> None:
    friend, stranger, nat = lab.host("friend"), lab.host("stranger"), lab.nat("open", "full-cone")
    with udp(nat.host("inner"), 4000) as client, udp(friend, 5000) as known, udp(stranger, 5000) as unknown:
        unknown.sendto(b"early", (nat.ipv4, 4000))
        client.sendto(b"out", (friend.ipv4, 5000))
        assert known.recvfrom(100) == (b"out", (nat.ipv4, 4000))
        unknown.sendto(b"in", (nat.ipv4, 4000))
        assert client.recvfrom(100) == (b"in", (stranger.ipv4, 5000))
        client.sendto(b"answer", (stranger.ipv4, 5000))
        assert unknown.recvfrom(100) == (b"answer", (nat.ipv4, 4000))


@pytest.mark.parametrize("kind", ["cone", "full-cone"])
def test_hairpin_lets_hosts_meet_by_the_public_address(lab: Lab, kind: NatKind) -> None:
    server = lab.host("server")
    for hairpin in (False, True):
        nat = lab.nat(f"nat{hairpin:d}", kind, hairpin=hairpin)
        a, b = nat.host(f"a{hairpin:d}"), nat.host(f"b{hairpin:d}")
        nat.isolate(a, b)
        assert a.ping(str(b.ipv4), timeout_s=0.2) == []
        with udp(a, 4001) as left, udp(b, 4002) as right:
            for host in (left, right):
                host.sendto(b"in use", (server.ipv4, 5000))
            left.sendto(b"to b", (nat.ipv4, 4002))
            if not hairpin:
                assert hears_nothing(right)
                continue
            assert right.recvfrom(100) == (b"to b", (nat.ipv4, 4001))
            right.sendto(b"to a", (nat.ipv4, 4001))
            assert left.recvfrom(100) == (b"to a", (nat.ipv4, 4002))


def test_a_carriers_customers_share_its_address(lab: Lab) -> None:
    server, carrier = lab.host("server"), lab.carrier("carrier")
    home = carrier.nat("home")
    inner = home.host("inner")
    assert (home.ipv4, inner.ipv4) == ("100.64.0.2", "192.168.1.2")
    with udp(inner, 4000) as client, udp(server, 5000) as listener:
        client.sendto(b"out", (server.ipv4, 5000))
        assert listener.recvfrom(100) == (b"out", (carrier.ipv4, 4000))
        listener.sendto(b"in", (carrier.ipv4, 4000))
        assert client.recv(100) == b"in"


def test_a_nat_may_let_https_through_and_nothing_else(lab: Lab) -> None:
    server, nat = lab.host("server"), lab.nat("strict", "https-only")
    inner = nat.host("inner")
    with udp(inner) as client, udp(server, 443) as listener:
        client.sendto(b"out", (server.ipv4, 443))
        assert hears_nothing(listener)
    with server.call(socket.create_server, ("", 5001)), pytest.raises(TimeoutError):
        inner.connect(str(server.ipv4), 5001, 0.2)
    with server.call(socket.create_server, ("", 443)):
        inner.connect(str(server.ipv4), 443).close()
        nat.become("closed")
        with pytest.raises(TimeoutError):
            inner.connect(str(server.ipv4), 443, 0.2)
        nat.connect(str(server.ipv4), 443).close()


def test_a_portal_answers_for_everybody_until_it_opens(lab: Lab) -> None:
    server, nat = lab.host("server"), lab.nat("hotel", "portal")
    inner = nat.host("inner")
    with nat.call(socket.create_server, ("", 80)) as portal, server.call(socket.create_server, ("", 443)):
        inner.connect(str(server.ipv4), 443).close()
        answering, client_at = portal.accept()
        answering.close()
        assert client_at[0] == inner.ipv4
        with udp(inner) as client, udp(server, 5000) as listener:
            client.sendto(b"out", (server.ipv4, 5000))
            assert hears_nothing(listener)
        nat.become("cone")
        with inner.connect(str(server.ipv4), 443) as through:
            assert through.getpeername()[0] == server.ipv4


def test_a_home_may_have_ipv6_behind_a_firewall(lab: Lab) -> None:
    server, nat = lab.host("server"), lab.nat("home", ipv6=True)
    inner = nat.host("inner")
    assert inner.ipv6 and server.ping(inner.ipv6, timeout_s=0.2) == []
    assert inner.ping(str(server.ipv6)) and inner.ping(str(server.ipv4))


def test_a_network_without_ipv4_reaches_it_by_nat64(lab: Lab) -> None:
    require("tayga")
    server, nat = lab.host("server", ipv6=False), lab.nat64("mobile")
    inner = nat.host("inner")
    assert inner.ipv4 is None
    found = inner.run(["getent", "ahostsv6", "ipv4only.arpa"], user="nobody").stdout.split()[0]
    prefix = found.removesuffix("c000:aa")
    assert found != prefix
    with udp6(inner, 4000) as client, udp(server, 5000) as listener:
        client.sendto(b"out", (f"{prefix}{server.ipv4}", 5000))
        said, place = listener.recvfrom(100)
        assert (said, place[0]) == (b"out", nat.ipv4)
        listener.sendto(b"in", place)
        assert client.recv(100) == b"in"


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_one_family_is_swallowed(lab: Lab, family: Literal["ip", "ip6"]) -> None:
    a, b = lab.host("a"), lab.host("b")
    assert a.uplink
    a.uplink.swallow(family)
    dead, alive = (b.ipv4, b.ipv6) if family == "ip" else (b.ipv6, b.ipv4)
    assert a.ping(str(dead), timeout_s=0.2) == [] and a.ping(str(alive))
    a.uplink.swallow("")
    assert a.ping(str(dead))


def test_a_nat_may_block_udp(lab: Lab) -> None:
    server, inner = lab.host("server"), lab.nat("strict", "udp-blocked").host("inner")
    with udp(inner) as client, udp(server, 5000) as listener:
        client.sendto(b"out", (server.ipv4, 5000))
        assert hears_nothing(listener)
    with server.call(socket.create_server, ("", 5001)), inner.connect(str(server.ipv4), 5001):
        pass


def test_loss_takes_its_share_of_single_packets(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    b.loss(20)
    batches = []
    with udp(a) as sender, udp(b, 5000) as receiver:
        sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 100)
        sender.connect((b.ipv4, 5000))
        for _ in range(200):
            sender.send(bytes(1000))  # ten packets, in one GSO batch
            batches.append(len(drain(receiver)))
    assert 1500 <= sum(batches) <= 1700  # 1600 expected, standard deviation 18
    assert set(batches) - {0, 10}, "whole batches were lost, not packets"


def test_loss_may_be_of_one_direction_and_ends(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    assert b.uplink
    b.uplink.loss(100, towards=b.namespace)
    with udp(a, 5000) as left, udp(b, 5000) as right:
        left.sendto(b"lost", (b.ipv4, 5000))
        right.sendto(b"found", (a.ipv4, 5000))
        assert left.recv(100) == b"found" and drain(right) == []
        b.loss(0)
        left.sendto(b"back", (b.ipv4, 5000))
        right.settimeout(2)
        assert right.recv(100) == b"back"


def test_blocked_udp_vanishes_silently_and_tcp_passes(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    a.block_udp()
    with udp(a, 5000) as left, udp(b, 5000) as right:
        for _ in range(3):
            left.sendto(b"x", (b.ipv4, 5000))  # no EPERM, no ICMP error
            right.sendto(b"x", (a.ipv4, 5000))
        assert hears_nothing(left) and hears_nothing(right)
        assert a.ping(str(b.ipv4)) and a.ping(str(b.ipv6))
        a.block_udp(False)
        left.sendto(b"x", (b.ipv4, 5000))
        right.settimeout(2)
        assert right.recv(100) == b"x"


def test_a_cut_cable_comes_back_as_it_was(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    a.block_udp()
    a.down()
    assert a.ping(str(b.ipv4), timeout_s=0.2) == []
    a.up()
    assert a.ping(str(b.ipv4)) and a.ping(str(b.ipv6))
    with udp(a) as left, udp(b, 5000) as right:
        left.sendto(b"x", (b.ipv4, 5000))
        assert hears_nothing(right)


def test_rate_limits_both_directions_until_lifted(lab: Lab) -> None:
    require("iperf3")
    a, b = lab.host("a", internet=False), lab.host("b", internet=False)
    lab.link(a, b)
    iperf3_server(b)
    a.rate(500)
    a.rate(10)
    assert iperf3(a, str(b.ipv4), seconds=1) < 13
    assert iperf3(a, str(b.ipv4), seconds=1, reverse=True) < 13
    a.rate(None)
    assert iperf3(a, str(b.ipv4), seconds=1) > 50


def test_counters_see_single_packets(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    assert a.uplink and b.uplink
    a.uplink.disable_offload()
    b.uplink.disable_offload()
    before = b.counters()
    with udp(a) as sender, udp(b, 5000):
        sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 100)
        sender.sendto(bytes(1000), (b.ipv4, 5000))
    after = b.counters()
    assert 10 <= after.rx_packets - before.rx_packets <= 15  # and a few of ARP and neighbour discovery
    assert after.rx_bytes - before.rx_bytes >= 10 * (14 + 20 + 8 + 100)


def test_a_delayed_link_takes_its_time_each_way(lab: Lab) -> None:
    a, b = lab.host("a", internet=False), lab.host("b", internet=False)
    link = lab.delayed_link(a, b, delay_ms=40)
    times_ms = a.ping(link.b_ipv4, count=5)
    assert min(times_ms) >= 80
    assert min(times_ms) < 100
    assert a.ping(link.b_ipv6)
    assert a.run(["ping", "-c1", "-Mdo", "-s1472", link.b_ipv4]).returncode == 0  # MTU 1500
    link.cable.loss(100)
    assert a.ping(link.b_ipv4, timeout_s=0.3) == []


def test_hosts_and_nats_may_be_far_away(lab: Lab) -> None:
    near, far = lab.host("near"), lab.host("far", delay=Delay(20))
    inner = lab.nat("home", delay=Delay(10)).host("inner", delay=Delay(5))
    assert 40 <= min(near.ping(str(far.ipv4), count=4)) < 60
    assert 70 <= min(inner.ping(str(far.ipv4), count=4)) < 100


def test_unprivileged_programs_may_read_the_labs_files() -> None:
    umask = os.umask(0o077)
    try:
        with Lab() as lab:
            lab.bootstrap(1)
            read = lab.host("a").run(["cat", str(lab.nodes_json)], user="nobody").stdout
            assert lab.nodes[0].public_key in read
    finally:
        os.umask(umask)


def test_bootstrap_nodes_run_and_are_listed(lab: Lab) -> None:
    client = lab.nat("home").host("client")
    nodes = lab.bootstrap(3)
    listed = json.loads(lab.nodes_json.read_text())["nodes"]
    assert [entry["public_key"] for entry in listed] == [node.public_key for node in nodes]
    assert len({node.public_key for node in nodes}) == 3
    for entry, node in zip(listed, nodes, strict=True):
        # keys: the public key, then the secret one
        assert node.host.directory.joinpath("keys").read_bytes()[:32].hex().upper() == entry["public_key"]
        with udp(client) as asking:
            asking.sendto(BOOTSTRAP_INFO_REQUEST, (entry["ipv4"], entry["port"]))
            assert asking.recv(1000).startswith(BOOTSTRAP_INFO)
        for port in entry["tcp_ports"]:
            client.connect(entry["ipv4"], port).close()
    # all but the first have been told of it, and speak with it
    assert (
        f'address = "{nodes[0].host.ipv4}"' in nodes[2].host.directory.joinpath("bootstrapd.conf").read_text()
    )
    wait_until(lambda: nodes[0].host.counters().rx_packets > 10, "traffic between bootstrap nodes")


def test_the_shared_network_has_eight_nodes(tox_network: Lab) -> None:
    assert len(tox_network.nodes) == 8
    first = tox_network.nodes[0].host
    [bootstrapd] = [
        int(pid) for pid in first.run(["ip", "netns", "pids", first.namespace.name]).stdout.split()
    ][:1]
    assert set(tox_network.nodes[0].tcp_ports) <= listening_ports(bootstrapd)
    tox_network.host("guest")


def test_guests_leave_the_shared_network_after_their_test(tox_network: Lab) -> None:
    assert "guest" not in tox_network.hosts
    assert tox_network.host("guest").ping(str(tox_network.nodes[7].host.ipv4))


def test_names_are_checked(lab: Lab) -> None:
    lab.host("twice")
    for name in ("twice", "internet", "", "a-b", "ü", "thirteenchars"):
        with pytest.raises(LabError):
            lab.host(name)


def test_two_labs_do_not_meet(lab: Lab) -> None:
    with Lab() as other:
        mine, theirs = lab.host("a"), other.host("a")
        assert mine.ipv4 == theirs.ipv4
        assert lab.host("b").ping(str(mine.ipv4))
        theirs.down()
        assert lab.host("c").ping(str(mine.ipv4))


def test_a_removed_host_may_be_made_again(lab: Lab) -> None:
    other, before = lab.host("other"), lab.host("a")
    process = before.popen(["sleep", "1000"], stdout=subprocess.PIPE)
    with before.socket():  # keeps the namespace alive
        lab.remove(before)
        assert process.returncode is not None
        assert process.stdout and process.stdout.closed
        again = lab.host("a")
    assert other.ping(str(again.ipv4)) and again.ipv4 != before.ipv4
    assert isinstance(lab.nat("n"), Nat) and re.fullmatch("tv-[0-9a-f]{6}", lab.name)
    assert os.path.ismount(again.namespace.path)


def ticking(a: Host, b: Host) -> TickingStream:
    """A bare stream between two hosts of the lab."""
    with b.socket() as listener:
        listener.bind(("", 9000))
        listener.listen()
        assert b.ipv4
        near = a.connect(b.ipv4, 9000)
        return TickingStream(near, listener.accept()[0])


def test_a_stream_ticks_and_tells_how_long_it_stood_still(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    stream = ticking(a, b)
    began_s = time.monotonic()
    assert stream.next_tick(began_s, 2) < 0.5
    a.down()
    cut_s = time.monotonic()
    with pytest.raises(LabError, match="no tick both ways"):
        stream.next_tick(cut_s + 0.1, 0.4)
    a.up()
    assert stream.next_tick(time.monotonic(), 5) < 3
    assert 0.4 < stream.longest_pause(began_s) < 4
    stream.close()


def test_a_stream_that_ends_says_so(lab: Lab) -> None:
    near, far = socket.socketpair()
    stream = TickingStream(near, far)
    stream.next_tick(time.monotonic(), 2)
    far.shutdown(socket.SHUT_RDWR)
    with pytest.raises(LabError):
        stream.next_tick(time.monotonic() + 1, 2)
    stream.close()


def test_a_host_has_other_addresses_and_none_of_the_old_ones(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    before = a.ipv4, a.ipv6
    lab.readdress(a)
    assert a.ipv4 and a.ipv6 and b.ipv4 and b.ipv6 and not {a.ipv4, a.ipv6} & {*before}
    assert b.ping(a.ipv4) and b.ping(a.ipv6) and a.ping(b.ipv4) and a.ping(b.ipv6)
    assert not any(b.ping(str(address), timeout_s=0.2) for address in before)


def test_a_host_moves_to_another_network(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    before = a.interface, str(a.ipv4)
    for _ in range(2):
        lab.roam(a)
        assert a.interface != before[0] and a.ipv4 and b.ipv4 and a.ipv6
        assert a.ping(b.ipv4) and b.ping(a.ipv4) and b.ping(a.ipv6)
        assert not b.ping(before[1], timeout_s=0.2)


def test_a_host_has_another_address_behind_its_nat(lab: Lab) -> None:
    nat, b = lab.nat("office"), lab.host("b")
    a = nat.host("a")
    nat.readdress(a)
    assert a.ipv4 == "192.168.1.3" and b.ipv4
    assert a.ping(b.ipv4)


def test_a_frozen_program_stands_still_with_its_children(lab: Lab) -> None:
    a = lab.host("a")
    program = a.popen(["sh", "-c", "sleep 100 & wait"])
    [child] = wait_until(lambda: children(program.pid), "child")
    freeze(program)
    wait_until(lambda: [state(pid) for pid in (program.pid, child)] == ["T", "T"], "rest")
    thaw(program)
    wait_until(lambda: [state(pid) for pid in (program.pid, child)] == ["S", "S"], "motion")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    """Its letter, as in proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
