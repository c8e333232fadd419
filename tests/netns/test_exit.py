"""A laptop whose traffic leaves through a box: what passes, what does not, and what if things die."""

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from uplink import Capture
from vpns import CONNECTING_S, Machine

from lab import Host, Lab, apps

HERE = Path(__file__).parent
log = logging.getLogger(__name__)
ROUTER, RESOLVER = "192.168.1.1", "192.168.77.53"
LAPTOPS_IPV6, OUTSIDE_PORT = "2001:db8:77::2", 2222
TOX_PORT = 40_000
WITH_RESOLVER = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"')
UDP_ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 53))
while True:
    sock.sendto(*sock.recvfrom(2048))
"""


@dataclass
class Scene:
    """`web` is out on the Internet, `resolver` behind the box, `laptop` behind a NAT router."""

    lab: Lab
    box: Machine
    laptop: Machine
    web: Host
    resolver: Host
    configuration: Path
    resolv_conf: Path

    def start_box(self, may_exit: bool = True) -> None:
        self.configure(may_exit)
        self.box.start("--config", str(self.configuration), prefix=(*WITH_RESOLVER, str(self.resolv_conf)))

    def configure(self, may_exit: bool) -> None:
        self.configuration.write_text(
            f'[vpn]\n[peers.laptop]\nid = "{self.laptop.tox_id}"\nmay_exit = {str(may_exit).lower()}\n'
        )

    def start_laptop(self, *arguments: str) -> None:
        ports = f"{TOX_PORT}:{TOX_PORT + 9}"
        peer = self.box.tox_id
        self.laptop.start("-u", ports, "--peer", peer, "--exit", peer, *arguments)

    def until_through(self, *addresses: str | None) -> None:
        """Until the laptop reaches these through the exit."""
        for address in addresses or (self.web.ipv4, self.web.ipv6):
            assert address
            ping = lambda address=address: self.laptop.host.ping(address, timeout_s=0.3)  # noqa: E731
            self.laptop.until(ping, f"answer from {address} through the exit", CONNECTING_S)


@pytest.fixture(scope="module")
def scene(_shared_network: Lab) -> Iterator[Scene]:
    lab = _shared_network
    web, box, resolver, home = (
        lab.host("web"),
        lab.host("box"),
        lab.host("resolver", internet=False),
        lab.nat("home"),
    )
    laptop = home.host("laptop")
    hosts = [web, box, resolver, home, laptop]
    behind = lab.link(box, resolver)
    box.run(["ip", "addr", "add", "192.168.77.1/24", "dev", "to-resolver"])
    resolver.run(["ip", "addr", "add", f"{RESOLVER}/24", "dev", resolver.interface])
    assert behind
    # a way out by IPv6 too, if it were used; and the strictest check of sources
    laptop.run(["ip", "addr", "add", f"{LAPTOPS_IPV6}/64", "dev", "eth0"])
    laptop.run(["ip", "neigh", "add", "fe80::77", "lladdr", "02:00:00:00:00:77", "dev", "eth0"])
    laptop.run(["ip", "-6", "route", "add", "default", "via", "fe80::77", "dev", "eth0"])
    for name in ("all", "eth0"):
        laptop.run(["sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=1"])
    home.namespace.nft(
        "table ip nat { chain prerouting { type nat hook prerouting priority dstnat\n"
        f"iifname eth0 tcp dport {OUTSIDE_PORT} dnat to {laptop.ipv4}:7 \n}}\n}}"
    )
    home.run(["nft", "insert", "rule", "ip", "nat", "forward", "ct", "status", "dnat", "accept"])
    apps.echo_server(web, 7)
    apps.echo_server(laptop, 7)
    resolver.popen([sys.executable, "-c", UDP_ECHO, RESOLVER])
    resolv_conf = box.directory / "resolv.conf"
    resolv_conf.write_text(f"nameserver {RESOLVER}\n")
    made = Scene(
        lab, Machine(lab, box), Machine(lab, laptop), web, resolver, box.directory / "exit.toml", resolv_conf
    )
    made.start_box()
    made.start_laptop()
    made.until_through()
    yield made
    made.laptop.toxvpn("down")
    for host in reversed(hosts):
        lab.remove(host)


def echoes(host: Host, address: str, port: int) -> bool:
    with host.connect(address, port) as sock:
        sock.settimeout(5)
        sock.sendall(b"hello")
        return sock.recv(5) == b"hello"


def steady_ping(host: Host, address: str) -> "subprocess.Popen[bytes]":
    return host.popen(["ping", "-q", "-i", "0.02", address], stdout=subprocess.DEVNULL)


def refused_in_s(host: Host, address: str) -> float:
    """How long it takes until a connection is refused."""
    began_s = time.monotonic()
    with pytest.raises(OSError):
        host.connect(address, 7, 5)
    return time.monotonic() - began_s


def test_what_goes_out_comes_from_the_exit(scene: Scene) -> None:
    for address, expected in ((scene.web.ipv4, scene.box.host.ipv4), (scene.web.ipv6, scene.box.host.ipv6)):
        assert address
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = scene.web.call(socket.create_server, (address, 80), family=family)
        with listener, scene.laptop.host.connect(address, 80):
            connection, peer = listener.accept()
            connection.close()
            assert peer[0] == expected


def test_the_local_network_stays_reachable(scene: Scene) -> None:
    assert scene.laptop.host.ping(ROUTER)


def test_dns_goes_to_the_exits_resolver(scene: Scene) -> None:
    with scene.laptop.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((ROUTER, 53))
        sock.send(b"who is example?")
        assert sock.recv(100) == b"who is example?"


def test_who_comes_from_outside_is_answered_there(scene: Scene) -> None:
    home = scene.lab.hosts["home"].ipv4
    assert home and echoes(scene.web, home, OUTSIDE_PORT)


def test_the_exits_own_networks_are_closed(scene: Scene) -> None:
    before = scene.box.sees(scene.laptop.public_key)["drops"].get("destination_not_allowed", 0)
    assert not scene.laptop.host.ping(RESOLVER, timeout_s=0.5)
    assert scene.box.sees(scene.laptop.public_key)["drops"]["destination_not_allowed"] > before


def test_nobody_near_the_exit_reaches_who_uses_it(scene: Scene) -> None:
    """To the laptop every address lies behind its exit, so that the exit has to see to it."""
    laptop, before = str(scene.laptop.ipv4), scene.laptop.sees(scene.box.public_key)["rx_bytes"]
    scene.resolver.run(["ip", "route", "replace", f"{laptop}/32", "via", "192.168.77.1"])
    assert scene.resolver.ping("192.168.77.1") and not scene.resolver.ping(laptop, timeout_s=0.5)
    assert scene.laptop.sees(scene.box.public_key)["rx_bytes"] == before
    assert scene.box.host.ping(laptop)


def test_without_ipv6_at_the_exit_it_is_refused_at_once(scene: Scene) -> None:
    route = scene.box.host.run(["ip", "-6", "route", "show", "default"]).stdout.split()
    scene.box.host.run(["ip", "-6", "route", "del", *route])
    scene.laptop.until(lambda: ": IPv4, and DNS" in scene.laptop.log, "line in the log")
    assert scene.web.ipv4 and scene.web.ipv6
    assert refused_in_s(scene.laptop.host, scene.web.ipv6) < 1
    assert echoes(scene.laptop.host, scene.web.ipv4, 7)
    scene.box.host.run(["ip", "-6", "route", "add", *route])
    scene.until_through(scene.web.ipv6)


def test_who_may_no_longer_exit_is_told_so(scene: Scene) -> None:
    scene.configure(may_exit=False)
    scene.box.toxvpn("reload")
    scene.laptop.until(lambda: "it does not let us exit" in scene.laptop.log, "line in the log")
    assert scene.web.ipv4 and refused_in_s(scene.laptop.host, scene.web.ipv4) < 1
    assert scene.laptop.status()["self"]["exit"]["blocked"]
    scene.configure(may_exit=True)
    scene.box.toxvpn("reload")
    scene.until_through()
    assert not scene.laptop.status()["self"]["exit"]["blocked"]


def test_nothing_leaks_whatever_is_killed(scene: Scene) -> None:
    """After `down` everything may leave, which shows that the capture sees it."""
    laptop, box, web = scene.laptop, scene.box, scene.web
    relays = [str(each) for node in scene.lab.nodes for each in (node.host.ipv4, node.host.ipv6)]
    count, ways = (
        laptop.host.directory / "count",
        [str(web.ipv4), str(web.ipv6), "--", ROUTER, "fe80::77%eth0"],
    )
    chatter = [sys.executable, str(HERE / "chatter.py"), str(count), "eth0", *ways]
    with Capture(laptop.host, range(TOX_PORT, TOX_PORT + 10), relays) as during:
        programs = [laptop.host.popen(chatter), steady_ping(laptop.host, str(web.ipv4))]
        for how in (signal.SIGKILL, signal.SIGTERM):
            laptop.stop(how)
            time.sleep(1)  # the programs try on
            scene.start_laptop()
            scene.until_through()
        box.stop(signal.SIGKILL)
        scene.start_box()
        scene.until_through()
        box.stop()
    seen, leaked = during.sorted()
    with Capture(laptop.host, range(TOX_PORT, TOX_PORT + 10), relays) as after:
        laptop.stop()
        laptop.until(lambda: len(after.sorted()[1]) > 10, "packets after `down`")
    laptop.host.stop(*programs)
    log.info("%s tries of programs; %d leaked; seen: %s", count.read_text(), len(leaked), dict(seen))
    assert not leaked, (len(leaked), [packet.summary() for packet in leaked[:20]])
    assert seen["Tox UDP"] > 100


def test_the_local_network_can_be_shut_and_sessions_from_outside_go_on(scene: Scene) -> None:
    home = scene.lab.hosts["home"].ipv4
    assert home
    with scene.web.connect(home, OUTSIDE_PORT) as older:
        older.settimeout(5)
        scene.start_laptop("--exit-lan", "no")
        assert not scene.laptop.host.ping(ROUTER, timeout_s=0.3)
        older.sendall(b"still there?")
        assert older.recv(20) == b"still there?"
    scene.laptop.stop()
    assert scene.laptop.host.ping(ROUTER)
