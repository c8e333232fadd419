"""A peer that speaks as the C++ toxvpn does (cpp_peer.py) is a peer like the others, over IPv4."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from vpns import CONNECTING_S, Machine

from lab import Host, Lab, wait_until

PROGRAM = Path(__file__).with_name("cpp_peer.py")
CHOSEN = "10.203.0.2"
NOISE = os.urandom(5_000_000)


@dataclass(frozen=True)
class Pair:
    ours: Machine
    theirs: Host
    their_id: str


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    lab = _shared_network
    hosts = [lab.host(name, ipv6=False) for name in ("ours", "theirs")]
    ours = Machine(lab, hosts[0])
    argv = [sys.executable, str(PROGRAM), str(lab.nodes_json), CHOSEN, ours.tox_id]
    process = hosts[1].popen(argv, stdout=subprocess.PIPE)
    assert process.stdout
    their_id = process.stdout.readline().decode().strip()
    (ours.directory / "config.toml").touch()
    ours.start("--peer", their_id)
    ours.wait("--direct")
    yield Pair(ours, hosts[1], their_id)
    for host in hosts:
        lab.remove(host)


def test_its_address_is_the_one_it_states_once_a_person_has_said_yes(pair: Pair) -> None:
    key = bytes.fromhex(pair.their_id[:64])
    peer = pair.ours.sees(key)
    assert (peer["ipv4"], peer["path"]) == (None, "udp")
    words = f'address = "{CHOSEN}"'
    assert words in pair.ours.toxvpn("status").stdout and words in pair.ours.log
    (pair.ours.directory / "config.toml").write_text(f'[peers.old]\nid = "{pair.their_id}"\n{words}\n')
    pair.ours.toxvpn("reload")
    peer = pair.ours.sees(key)
    assert (peer["ipv4"], peer["address_problem"]) == (CHOSEN, None)


def test_each_reaches_the_other(pair: Pair) -> None:
    assert pair.ours.reaches(CHOSEN)
    own = pair.ours.ipv4
    assert wait_until(lambda: pair.theirs.ping(own), "an answer to the C++ peer", CONNECTING_S)


def test_packets_of_its_full_mtu_pass(pair: Pair) -> None:
    whole = ["ping", "-c", "1", "-W", "5", "-M", "do", "-s", str(1200 - 28)]
    pair.theirs.run([*whole, pair.ours.ipv4])
    pair.ours.host.run([*whole, CHOSEN])


@pytest.mark.parametrize("outbound", [True, False], ids=["to it", "from it"])
def test_tcp_carries_data_unchanged(pair: Pair, outbound: bool) -> None:
    sender, receiver, address = (
        (pair.ours.host, pair.theirs, CHOSEN) if outbound else (pair.theirs, pair.ours.host, pair.ours.ipv4)
    )
    received = hashlib.sha256()

    def receive() -> None:
        with listener.accept()[0] as sock:
            while data := sock.recv(1 << 20):
                received.update(data)

    with receiver.call(socket.create_server, ("", 7)) as listener:
        thread = threading.Thread(target=receive)
        thread.start()
        with sender.connect(address, 7) as sock:
            sock.settimeout(CONNECTING_S)
            sock.sendall(NOISE)
        thread.join(CONNECTING_S)
    assert received.digest() == hashlib.sha256(NOISE).digest()


def test_ipv6_to_it_is_not_sent_astray(pair: Pair) -> None:
    """It cannot take any; nothing else may come of it."""
    peer = pair.ours.sees(bytes.fromhex(pair.their_id[:64]))
    assert not pair.ours.host.ping(peer["ipv6"], timeout_s=0.2)
    assert pair.ours.reaches(CHOSEN)


def test_in_a_cafe_whose_router_has_that_address_the_router_is_meant(
    pair: Pair, _shared_network: Lab
) -> None:
    cafe = _shared_network.host("cafe", internet=False)
    link = _shared_network.link(pair.ours.host, cafe)
    key = bytes.fromhex(pair.their_id[:64])
    cafe.run(["ip", "addr", "add", f"{CHOSEN}/24", "dev", cafe.interface])
    device = f"to-{cafe.name}"
    lease = ["10.203.0.77/24", "dev", device]
    assert link.a_ipv4 in pair.ours.host.run(["ip", "addr", "show", "dev", device]).stdout
    assert pair.ours.reaches(CHOSEN), "the peer"
    pair.ours.host.run(["ip", "addr", "add", *lease])
    pair.ours.until(lambda: pair.ours.sees(key)["ipv4"] is None, "an end of the peer's address")
    assert "a local network" in pair.ours.sees(key)["address_problem"]
    with (
        cafe.call(socket.create_server, ("", 53)) as listener,
        pair.ours.host.connect(CHOSEN, 53) as query,
        listener.accept()[0] as answer,
    ):
        assert answer.getpeername() == query.getsockname()
    pair.ours.host.run(["ip", "addr", "del", *lease])
    pair.ours.until(lambda: pair.ours.sees(key)["ipv4"] == CHOSEN, "the peer's address again")
    assert pair.ours.reaches(CHOSEN)
    _shared_network.remove(cafe)
