"""`toxvpn up`: which flags make which options."""

import os
import time
from ipaddress import IPv4Interface, IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from toxvpn.config.flags import UserNetwork
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.testing.options import up_options
from toxvpn.tox.proxy import Proxy
from toxvpn.wire.invite import Invite, encode
from toxvpn.wire.toxid import ToxId

ALICE = ToxId(bytes([0xA1]) * 31 + b"\1", b"spam")
INVITE = Invite(ALICE, b"fifteen secrets", int(time.time()) + 3600)

OPTIONS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["--peer", str(ALICE)], {"peers": (ConfiguredPeer(ALICE.public_key, b"spam"),)}),
    (["--peer", f"tox:{ALICE}"], {"peers": (ConfiguredPeer(ALICE.public_key, b"spam"),)}),
    (["--peer", "B0" * 31 + "01", "--peer", str(ALICE)],
     {"peers": (ConfiguredPeer(b"\xb0" * 31 + b"\1"), ConfiguredPeer(ALICE.public_key, b"spam"))}),
    (["--peer", f"alice={ALICE}"], {"peers": (ConfiguredPeer(ALICE.public_key, b"spam", "alice"),)}),
    (["--peer", f"alice={encode(INVITE)}"],
     {"peers": (ConfiguredPeer(ALICE.public_key, b"spam", "alice", INVITE),)}),
    (["--peer", encode(INVITE)], {"peers": (ConfiguredPeer(ALICE.public_key, b"spam", None, INVITE),)}),
    (["--name", "laptop"], {"name": "laptop"}),
    (["--address", "10.9.8.7"], {"address": IPv4Interface("10.9.8.7/32")}),
    (["--address", "10.9.8.7/24"], {"address": IPv4Interface("10.9.8.7/24")}),
    (["--mtu", "1280"], {"mtu": 1280}),
    (["--interface", "vpn-1"], {"interface": "vpn-1"}),
    (["--no-offload"], {"offload": False}),
    (["--advertise", "10.0.0.0/8,fd00:10::/64", "--snat", "no"],
     {"advertise": (IPv4Network("10.0.0.0/8"), IPv6Network("fd00:10::/64")), "snat": False}),
    (["--exit", "box", "--exit-lan", "no"], {"exit": "box", "exit_lan": False}),
    (["--exit", "box", "--proxy", "socks5://10.0.0.1:9050"],
     {"exit": "box", "proxy": Proxy("socks5", "10.0.0.1", 9050)}),
    (["-I", "id", "-u", "33445:33450", "-t", "0"],
     {"id_file": Path("id"), "udp_ports": (33445, 33450), "tcp_port": 0}),
    (["-b", "nodes.json"], {"nodes_file": Path("nodes.json")}),
    (["-s", "s3cret"], {"secret": b"s3cret"}),
    (["--user"], {"user_network": UserNetwork()}),
    (["--user", "--internet"], {"user_network": UserNetwork(internet=True)}),
    (["-dd"], {"toxcore_log": True}),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "expected"), OPTIONS, ids=[" ".join(flags)[:30] for flags, _ in OPTIONS])
def test_flags(toxvpn: Any, here: Path, flags: list[str], expected: dict[str, Any]) -> None:
    ran = toxvpn("up", *flags, "-C", here)
    assert ran.code == 0
    assert ran.options == up_options(**({"directory": here} | expected))
    assert not here.exists()


def test_shared_flags_before_the_verb(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("-C", here, "-b", "nodes.json", "up", "--mtu", "1280")
    assert ran.options == up_options(directory=here, nodes_file=Path("nodes.json"), mtu=1280)


def test_a_kept_peer_can_be_named(toxvpn: Any, here: Path) -> None:
    toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    (named,) = toxvpn("up", "--peer", "Alice", "-C", here).options.peers
    assert named == ConfiguredPeer(ALICE.public_key), "what is known of it is kept, and it is on the network"
    options = toxvpn("up", "--peer", "Alice", "-s", "for her", "-C", here).options
    assert [(peer.public_key, peer.secret) for peer in options.peers] == [(ALICE.public_key, b"for her")]
    again = toxvpn("up", "--peer", f"alice={ALICE}", "-C", here)
    assert again.options.peers == (ConfiguredPeer(ALICE.public_key, b"spam", "alice"),)
    ran = toxvpn("up", "--peer", f"Alice={'B0' * 31}01", "-C", here)
    assert ran.code == 2
    assert f"--peer Alice=…: 'alice' is the name of peer {str(ALICE)[:8]}" in ran.err
    ran = toxvpn("up", "--peer", "bob", "-C", here)
    assert (ran.code, ran.started) == (4, [])
    assert "no kept peer has that name" in ran.err


def test_a_secret_in_the_environment(toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOXVPN_SHARED_SECRET", "s3cret")
    assert toxvpn("up", "-C", here).secret == b"s3cret"
    assert "TOXVPN_SHARED_SECRET" not in os.environ


MISTAKES: list[tuple[list[str], str]] = [
    (["--internet"], "--internet goes with --user"),
    (["--peer", str(ALICE)[:-1] + "0"], "--peer the checksum of Tox ID"),
    (["--peer", "a1" * 20], "--peer 'a1a1a1a1a1a1a1a1...' is not a Tox ID: it has 40 digits"),
    (["--peer", f"two words={ALICE}"], "--peer the name 'two words' is not usable"),
    (["--peer", f"={ALICE}"], "--peer the name '' is not usable"),
    (["--peer", "alice=bob"], "--peer 'bob' is not a Tox ID"),
    (["--peer", f"alice={str(ALICE)[:-1]}0"], "--peer the checksum of Tox ID"),
    (["--peer", "two words"], "--peer 'two words' is not a Tox ID"),
    (["--peer", encode(INVITE)[:-1]], "--peer this invite has 95 characters"),
    (["--peer", encode(Invite(ALICE, b"fifteen secrets", 1))], "--peer this invite expired"),
    (["--name", "two words"], "not usable"),
    (["--address", "fd00::1"], "--address: must be an IPv4 address such as 10.9.8.7/24, not 'fd00::1'"),
    (["--address", "10.9.8.7/33"], "must be an IPv4 address"),
    (["--address", "127.0.0.1"], "127.0.0.1 cannot be a host's address"),
    (["--address", "224.0.0.1"], "cannot be a host's address"),
    (["--mtu", "500"], "--mtu: 500 is out of range: 576 to 1368"),
    (["--mtu", "1369"], "--mtu: 1369 is out of range"),
    (["--snat", "maybe"], "--snat: it takes yes or no"),
    (["--exit", "box", "--proxy", "socks5://127.0.0.1:9050"], "leave out the exit or the proxy"),
    (["--advertise", "0.0.0.0/0"], "--advertise: 0.0.0.0/0 cannot be advertised: it is a default route"),
    (
        ["--advertise", "192.168.10.5/24"],
        "--advertise: 192.168.10.5/24 is an address in a network: write 192.168.10.0/24",
    ),
    (["--interface", ""], "--interface: must be 1 to 15 bytes without spaces, '/', ':' or '%', not ''"),
    (["--interface", "x" * 16], "1 to 15 bytes"),
    (["--interface", "a b"], "without spaces"),
    (["--interface", "tun%d"], "without spaces"),
    (["--interface", ".."], "--interface: must be 1 to 15 bytes without spaces, '/', ':' or '%', not '..'"),
    (["-u", "x"], "-u: must be FIRST:LAST, two port numbers from 1 to 65535, not 'x'"),
    (["-t", "x"], "-t: must be a port number, or 0 for no relay, not 'x'"),
    (["-s", ""], "shared secret is empty"),
    (["extra"], "unexpected extra argument"),
]


@pytest.mark.parametrize(("flags", "message"), MISTAKES, ids=[" ".join(flags)[:30] for flags, _ in MISTAKES])
def test_mistakes(toxvpn: Any, here: Path, flags: list[str], message: str) -> None:
    ran = toxvpn("up", *flags, "-C", here)
    assert (ran.code, ran.out, ran.started) == (2, "", [])
    assert message in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err and encode(INVITE)[20:80] not in ran.err


def test_a_secret_is_for_the_peers_of_the_command_line_or_for_who_comes(toxvpn: Any) -> None:
    called = toxvpn("up", "--peer", str(ALICE), "-s", "word")
    assert called.options.peers == (ConfiguredPeer(ALICE.public_key, b"spam", secret=b"word"),)
    assert called.secret is None, "who is called with it must not come in by it"
    assert toxvpn("up", "-s", "word").secret == b"word"
