"""`toxvpn run`: VPN, server and forwards of one configuration, and `toxvpn reload`."""

import json
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forwards import DIRECT, SECRET, WITH_SECRET, Client

from lab import Host, Lab, apps, wait_until

TOXVPN = [sys.executable, "-m", "toxvpn"]


@dataclass
class Machine:
    host: Host
    tox_id: str = ""

    @property
    def directory(self) -> Path:
        return self.host.directory / "toxvpn"

    def toxvpn(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.host.run([*TOXVPN, "-C", str(self.directory), *arguments], check=check, timeout_s=60)

    def configure(self, text: str) -> None:
        (self.directory / "config.toml").write_text(text)

    def run(self, lab: Lab) -> None:
        with (self.host.directory / "log").open("wb") as log:
            self.host.popen(
                [*TOXVPN, "-C", str(self.directory), "-b", str(lab.nodes_json), "run"], stderr=log
            )
        wait_until((self.directory / "control.sock").exists, "the control socket", 20)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.toxvpn("status", "--json").stdout)
        return found


ALICE = """
[vpn]
name = "alice"
[peers.bob]
id = "{bob}"
allow = []
vpn = true
[[forwards]]
peer = "bob"
listen = "{port}"
target = "localhost:7"
"""
BOB = """
[vpn]
[peers.alice]
id = "{alice}"
allow = [{allow}]
vpn = {vpn}
"""


@pytest.fixture
def machines(tox_network: Lab) -> Iterator[tuple[Machine, Machine]]:
    alice, bob = Machine(tox_network.host("alice")), Machine(tox_network.host("bob"))
    for machine in (alice, bob):
        machine.tox_id = machine.toxvpn("id").stdout.strip()
    apps.echo_server(bob.host, 7)
    alice.configure(ALICE.format(bob=bob.tox_id, port=7000))
    bob.configure(BOB.format(alice=alice.tox_id, allow='"localhost:7", "icmp"', vpn="true"))
    for machine in (alice, bob):
        machine.run(tox_network)
    alice.toxvpn("wait", "bob", "--timeout", "40")
    yield alice, bob


SERVING = """
[server]
secret_file = "secret"
[vpn]
[peers.alice]
id = "{alice}"
"""
CALLING = """
[vpn]
[peers.bob]
id = "{bob}"
"""
SLOW_MBIT = 0.4
FILE_BYTES = 5_000_000
TUNNEL_IS_FULL_BYTES = 50_000
UNDISTURBED_MS = 15.0
"""0.3 when all is well; 50 when the node waits for the rate of one friend."""


def test_a_slow_download_on_the_tuntox_road_leaves_the_vpn_alone(tox_network: Lab) -> None:
    alice, bob = Machine(tox_network.host("alice")), Machine(tox_network.host("bob"))
    for machine in (alice, bob):
        machine.tox_id = machine.toxvpn("id").stdout.strip()
    alice.configure(CALLING.format(bob=bob.tox_id))
    bob.configure(SERVING.format(alice=alice.tox_id))
    secret = bob.directory / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    (bob.host.directory / "file").write_bytes(bytes(FILE_BYTES))
    apps.http_server(bob.host, bob.host.directory, 8000)
    for machine in (alice, bob):
        machine.run(tox_network)
    slow = tox_network.host("slow")
    client = Client(tox_network, slow, "slow", bob.tox_id, "-L", "8000:localhost:8000", env=WITH_SECRET)
    client.wait_for(DIRECT)
    alice.toxvpn("wait", "bob", "--timeout", "40")
    address = alice.status()["peers"][0]["ipv4"]

    slow.rate(SLOW_MBIT)
    with slow.connect("127.0.0.1", 8000) as download:
        download.settimeout(30)
        download.sendall(b"GET /file HTTP/1.0\r\n\r\n")
        got = 0
        while got < TUNNEL_IS_FULL_BYTES:
            got += len(download.recv(4096))
        times_ms = alice.host.ping(address, 21)
    assert statistics.median(times_ms) < UNDISTURBED_MS, times_ms


def echo(connection: socket.socket, word: bytes) -> bytes:
    connection.settimeout(10)
    connection.sendall(word)
    return connection.recv(100)


def test_everything_in_one_process_and_reloaded(machines: tuple[Machine, Machine]) -> None:
    alice, bob = machines
    status = alice.status()
    assert [peer["name"] for peer in status["peers"]] == ["bob"]
    assert status["self"]["interface"] == "toxvpn0"
    assert alice.host.ping(status["peers"][0]["ipv6"], 2), "the VPN"
    old = alice.host.connect("127.0.0.1", 7000)
    assert echo(old, b"forwarded") == b"forwarded"

    # a command that needs the identity has its connection lent
    argv = [*TOXVPN, "-C", str(alice.directory), "-i", "bob", "-P", "localhost:7"]
    command = alice.host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert command.communicate(b"lent", timeout=20)[0] == b"lent"
    assert command.returncode == 0

    # another port: what is open stays open
    alice.configure(ALICE.format(bob=bob.tox_id, port=7001))
    assert "listening on 127.0.0.1:7001" in alice.toxvpn("reload").stderr
    assert echo(old, b"still") == b"still"
    with alice.host.connect("127.0.0.1", 7001) as new:
        assert echo(new, b"new") == b"new"
    with pytest.raises(ConnectionRefusedError):
        alice.host.connect("127.0.0.1", 7000)

    # a mistake changes nothing
    alice.configure("[vpnn]")
    answer = alice.toxvpn("reload", check=False)
    assert answer.returncode == 78 and "did you mean 'vpn'" in answer.stderr
    assert echo(old, b"and still") == b"and still"
    old.close()

    # what a peer may reach is taken back, its VPN too; the peer stays connected
    bob.configure(BOB.format(alice=alice.tox_id, allow="", vpn="false"))
    assert "peer alice changed" in bob.toxvpn("reload").stderr
    with pytest.raises(OSError), alice.host.connect("127.0.0.1", 7001) as refused:
        refused.settimeout(10)
        assert refused.recv(1) != b"", "reset, or closed"
        raise AssertionError("the target was reached")
    assert not alice.host.ping(status["peers"][0]["ipv6"], 1, 1.0)
    assert bob.status()["peers"][0]["online"]


def test_check_and_show(machines: tuple[Machine, Machine]) -> None:
    alice, _ = machines
    assert alice.toxvpn("config", "check").stdout.endswith("config.toml: good\n")
    shown = alice.toxvpn("config", "show").stdout
    assert 'vpn.name = "alice"  # config.toml' in shown
    assert "vpn.mtu = 1368  # default" in shown
