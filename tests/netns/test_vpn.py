"""The VPN as users have it: two machines behind two NATs, and what people do over it; real toxcore.

One connected pair serves the tests; those that break it come last.
"""

import hashlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from vpns import CONNECTING_S, INTERFACE, Machine, connected, network_of

from lab import Host, Lab, apps, wait_until
from lab.require import require
from toxvpn import __version__
from toxvpn.control.client import call

BOTH = pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Pair:
    """Two machines, connected; their networks as they were before."""

    alice: Machine
    bob: Machine
    before: list[dict[str, str]]
    sshd: apps.Sshd  # bob's

    @property
    def machines(self) -> list[Machine]:
        return [self.alice, self.bob]


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    require("sshd", "ssh", "ssh-keygen", "scp", "iperf3", "ping", "ip")
    lab = _shared_network
    nats = lab.nat("office"), lab.nat("home")
    machines = [Machine(lab, nat.host(name)) for nat, name in zip(nats, ("alice", "bob"), strict=True)]
    before = [network_of(machine.host) for machine in machines]
    connected(*machines)
    for machine in machines:
        machine.wait("--direct")
    sshd = apps.sshd(machines[1].host)
    apps.iperf3_server(machines[1].host)
    yield Pair(machines[0], machines[1], before, sshd)
    for host in (*(machine.host for machine in machines), *nats):
        lab.remove(host)


UFW = """
table inet {name} {{
  chain input {{
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iifname lo accept
    meta l4proto {{ icmp, icmpv6 }} accept
    iifname != {interface} accept
  }}
}}
"""


def test_the_doctor_sees_a_firewall_behind_which_the_peer_only_answers_pings(pair: Pair) -> None:
    """A firewall as ufw's defaults have it."""

    def report() -> Any:
        return json.loads(pair.alice.toxvpn("doctor", pair.bob.tox_id, "--json", check=False).stdout)

    assert report()["problem"] is None
    pair.bob.host.namespace.nft(UFW.format(name="wall", interface=INTERFACE))
    try:
        assert pair.alice.host.ping(pair.bob.ipv4, count=1)
        found = report()
    finally:
        pair.bob.host.namespace.nft("delete table inet wall")
    assert (found["problem"], found["exit_code"]) == ("vpn", 6)
    [layer] = [each for each in found["layers"] if each["layer"] == "vpn"]
    assert f"ufw allow in on {INTERFACE}" in layer["fix"]


@BOTH
def test_both_ends_reach_each_other(pair: Pair, family: int) -> None:
    for one, other in (pair.machines, pair.machines[::-1]):
        assert len(one.host.ping(other.addresses[family], count=5)) == 5


def test_each_knows_the_other_by_its_addresses(pair: Pair) -> None:
    for one, other in (pair.machines, pair.machines[::-1]):
        peer = one.sees(other.public_key)
        assert (peer["ipv4"], peer["ipv6"]) == other.addresses
        assert (peer["online"], peer["path"]) == (True, "udp")


def test_status_is_for_people_and_for_scripts(pair: Pair) -> None:
    text = pair.alice.toxvpn("status").stdout
    assert f"{INTERFACE}: {' '.join(pair.alice.addresses)}" in text
    assert re.search(rf"{' '.join(pair.bob.addresses)} +direct", text)
    document = json.loads(pair.alice.toxvpn("status", "--json").stdout)
    assert document["self"]["interface"] == INTERFACE
    assert document["tox_id"] == pair.alice.tox_id


def test_the_path_is_measured_without_anybody_asking(pair: Pair) -> None:
    for one, other in (pair.machines, pair.machines[::-1]):
        peer = one.sees(other.public_key)
        assert 0 < peer["rtt_seconds"] < 1 and peer["loss"] in (None, 0)
        assert peer["version"] == __version__
        assert datetime.fromisoformat(peer["since"]) < datetime.now(UTC)
    measured = pair.alice.sees(pair.bob.public_key)["rtt_seconds"]
    call(pair.alice.directory, "status", look=True)
    pair.alice.until(
        lambda: pair.alice.sees(pair.bob.public_key)["rtt_seconds"] != measured, "a fresh round trip"
    )


def test_ping_names_the_path(pair: Pair) -> None:
    said = pair.alice.toxvpn("ping", "-c", "1", pair.bob.ipv4).stdout
    short, address = pair.bob.tox_id[:8], re.escape(pair.bob.ipv4)
    assert re.fullmatch(rf"pong from {short} \({address}\) via direct in [\d.]+ ms\n", said)


@BOTH
def test_ssh(pair: Pair, family: int) -> None:
    argv = pair.sshd.client(f"root@{pair.bob.addresses[family]}", "echo $SSH_CONNECTION")
    said = pair.alice.host.run(argv).stdout.split()
    assert (said[0], said[2]) == (pair.alice.addresses[family], pair.bob.addresses[family])


@BOTH
@pytest.mark.parametrize("reverse", [False, True], ids=["there", "back"])
def test_iperf3_over_tcp(pair: Pair, family: int, reverse: bool) -> None:
    assert apps.iperf3(pair.alice.host, pair.bob.addresses[family], seconds=1, reverse=reverse) > 0


@BOTH
def test_iperf3_over_udp(pair: Pair, family: int) -> None:
    argv = ["iperf3", "-J", "-c", pair.bob.addresses[family], "-u", "-b", "20M", "-t", "1", "-l", "1200"]
    result = json.loads(pair.alice.host.run(argv).stdout)["end"]["sum"]
    assert result["packets"] > 1000
    assert result["lost_packets"] < result["packets"] / 10


def test_scp_copies_100_mb_unchanged(pair: Pair, tmp_path: Path) -> None:
    source, copy = pair.bob.host.directory / "100 MB", tmp_path / "copy"
    source.write_bytes(os.urandom(100 * MEGABYTE))
    argv = pair.sshd.client(f"root@{pair.bob.ipv4}:{source}", str(copy))
    pair.alice.host.run(["scp", *argv[1:]], timeout_s=120)
    assert sha256(copy) == sha256(source)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_bytes_are_counted_for_the_peer(pair: Pair) -> None:
    before = pair.alice.sees(pair.bob.public_key)
    pair.alice.host.ping(pair.bob.ipv4, count=10)
    after = pair.alice.sees(pair.bob.public_key)
    for direction in ("rx_bytes", "tx_bytes"):
        assert after[direction] - before[direction] >= 10 * 84


def test_a_second_up_says_so_and_changes_nothing(pair: Pair) -> None:
    as_it_is = network_of(pair.alice.host)
    ran = pair.alice.toxvpn("up")
    assert ran.returncode == 0
    [line] = ran.stderr.splitlines()
    assert "the network is up already, and nothing was changed" in line
    assert network_of(pair.alice.host) == as_it_is
    assert pair.alice.host.ping(pair.bob.ipv4)


def test_what_is_up_is_seen(pair: Pair) -> None:
    """So that the comparisons with the network before can fail."""
    seen = network_of(pair.alice.host)
    for own in pair.alice.addresses:
        assert own in seen["addr"]
    assert pair.bob.ipv4 in seen["route show table all"]
    assert INTERFACE in seen["link"] and "fd74:6f78::/32" in seen["-6 route show table all"]


DISTURBANCES = [
    f"ip addr flush dev {INTERFACE}",
    f"ip addr del {{ipv4}}/32 dev {INTERFACE}",
    "ip route flush proto 116; ip -6 route flush proto 116",
    f"ip link set {INTERFACE} down; ip link set {INTERFACE} up",
    f"ip link set {INTERFACE} down; ip link set {INTERFACE} name office; ip link set office up",
    f"ip link set office down; ip link set office name {INTERFACE}; ip link set {INTERFACE} up",
]


def test_what_others_do_to_the_device_is_put_right(pair: Pair) -> None:
    addresses = [machine.addresses for machine in pair.machines]
    for disturbance in DISTURBANCES:
        for line in disturbance.format(ipv4=addresses[0][0]).split("; "):
            pair.alice.host.run(line.split())
        assert pair.alice.reaches(*addresses[1]) and pair.bob.reaches(*addresses[0]), disturbance
    assert [machine.addresses for machine in pair.machines] == addresses
    assert pair.alice.status()["self"]["interface"] == INTERFACE
    assert 5 <= pair.alice.log.count("put back: ") <= 2 * len(DISTURBANCES)


def test_with_tailscale_on_one_of_the_two_they_meet_in_another_range(pair: Pair) -> None:
    """An address in 100.64.0.0/10 stands for Tailscale: that is all of it that matters here."""
    before = pair.alice.ipv4, pair.bob.ipv4
    with pair.bob.host.call(socket.create_server, ("", 9)) as listener:
        ours, theirs = pair.alice.host.connect(before[1], 9), listener.accept()[0]
    tailscale = ["100.99.98.97/32", "dev", "lo"]
    pair.alice.host.run(["ip", "addr", "add", *tailscale])

    def met() -> bool:
        seen = pair.alice.sees(pair.bob.public_key)["ipv4"], pair.bob.sees(pair.alice.public_key)["ipv4"]
        return all(str(address).startswith("10.") for address in seen)

    pair.alice.until(met, "addresses in another range")
    assert pair.alice.reaches(pair.alice.sees(pair.bob.public_key)["ipv4"])
    assert pair.bob.reaches(pair.alice.ipv4)
    with ours, theirs:
        theirs.settimeout(CONNECTING_S)
        ours.sendall(b"what is open lives on")
        assert theirs.recv(100) == b"what is open lives on"
    pair.alice.host.run(["ip", "addr", "del", *tailscale])
    pair.alice.until(lambda: pair.alice.ipv4 == before[0], "the first address")
    assert pair.bob.reaches(before[0]) and pair.alice.reaches(before[1])


def test_a_kill_is_survived_by_the_other_side_and_undone_by_the_next_start(pair: Pair) -> None:
    pair.alice.stop(signal.SIGKILL)
    pair.alice.start("--peer", pair.bob.tox_id)
    pair.alice.wait()
    assert pair.bob.reaches(pair.alice.ipv4)
    assert pair.bob.up.process.poll() is None
    assert pair.alice.stop() == 0
    assert network_of(pair.alice.host) == pair.before[0]


def test_sigterm_undoes_everything(pair: Pair) -> None:
    assert network_of(pair.bob.host) != pair.before[1]
    assert pair.bob.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert network_of(pair.bob.host) == pair.before[1]


# -- relay first, then direct -------------------------------------------------------------------


def test_a_copy_survives_the_change_from_the_relay_to_a_direct_path(tox_network: Lab) -> None:
    lab = tox_network
    nats = lab.nat("firewalled"), lab.nat("flat")
    alice, bob = (Machine(lab, nat.host(name)) for nat, name in zip(nats, ("carol", "dave"), strict=True))
    for host in (*nats, alice.host, bob.host, *(node.host for node in lab.nodes)):
        assert host.uplink  # a relay may stall on a packet of 64 kB, which no real network would carry
        host.uplink.disable_offload()
    alice.host.block_udp()
    connected(alice, bob)
    assert alice.sees(bob.public_key)["path"] == "tcp-relay"
    assert " via tcp-relay in " in bob.toxvpn("ping", "-c", "1", alice.tox_id[:64]).stdout

    listener = bob.host.call(socket.create_server, ("", 7))
    copy = Copy(alice.host, bob.ipv4, listener, 100 * MEGABYTE)
    wait_until(lambda: copy.received > MEGABYTE, "a megabyte over the relay", CONNECTING_S)
    assert alice.sees(bob.public_key)["path"] == "tcp-relay"
    alice.host.block_udp(False)
    alice.wait("--direct")
    copy.finish()
    copy.join()
    assert copy.received >= 100 * MEGABYTE
    assert copy.sent_digest.hexdigest() == copy.received_digest.hexdigest()
    assert alice.sees(bob.public_key)["path"] == bob.sees(alice.public_key)["path"] == "udp"


class Copy:
    """One TCP connection that sends at least so many bytes, and goes on until `finish`."""

    def __init__(self, sender: Host, address: str, listener: socket.socket, size_bytes: int) -> None:
        self.received = 0
        self.sent_digest, self.received_digest = hashlib.sha256(), hashlib.sha256()
        self._size = size_bytes
        self._finish = threading.Event()
        self._errors: list[BaseException] = []
        sock = sender.connect(address, listener.getsockname()[1], CONNECTING_S)
        parts = (lambda: self._send(sock), lambda: self._receive(listener))
        self._threads = [threading.Thread(target=self._guarded, args=(part,)) for part in parts]
        for thread in self._threads:
            thread.start()

    def _guarded(self, part: Callable[[], None]) -> None:
        try:
            part()
        except OSError as error:
            self._errors.append(error)

    def _send(self, sock: socket.socket) -> None:
        with sock:
            sent = 0
            while sent < self._size or not self._finish.is_set():
                block = os.urandom(100_000)
                sock.sendall(block)
                self.sent_digest.update(block)
                sent += len(block)

    def _receive(self, listener: socket.socket) -> None:
        with listener, listener.accept()[0] as sock:
            sock.settimeout(CONNECTING_S)
            while data := sock.recv(1 << 20):
                self.received_digest.update(data)
                self.received += len(data)

    def finish(self) -> None:
        self._finish.set()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(CONNECTING_S)
        assert not self._errors, self._errors
        assert not any(thread.is_alive() for thread in self._threads)
