"""Peers come and go while others talk: by consent, by invite, and out again; none of it disturbs anybody."""

import json
from collections.abc import Iterator

import pytest
from vpns import CONNECTING_S, Machine, SteadyPing

from lab import Lab


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[tuple[Machine, Machine]]:
    lab = _shared_network
    before = set(lab.hosts)
    alice, bob = (Machine(lab, lab.host(name, ipv6=False)) for name in ("alice", "bob"))
    alice.toxvpn("peer", "add", bob.tox_id, "--name", "bob")  # kept; the others are added while it runs
    bob.toxvpn("peer", "add", alice.tox_id, "--name", "alice")
    for machine in (alice, bob):
        machine.start()
    for machine in (alice, bob):
        machine.wait()
    alice.wait("--direct")
    yield alice, bob
    for name in set(lab.hosts) - before:
        lab.remove(lab.hosts[name])


def test_peers_come_and_go_and_the_others_do_not_notice(
    pair: tuple[Machine, Machine], _shared_network: Lab
) -> None:
    lab = _shared_network
    alice, bob = pair
    talk = SteadyPing(alice.host, bob.ipv4)
    carol, dave, erin = (Machine(lab, lab.host(name)) for name in ("carol", "dave", "erin"))

    # a stranger is not let in, and Alice can see who it was
    carol.start("--peer", alice.tox_id)
    alice.until(lambda: alice.status()["pending"], "a pending request", CONNECTING_S)
    [request] = json.loads(alice.toxvpn("status", "--json").stdout)["pending"]
    assert (request["public_key"], request["reason"]) == (carol.tox_id[:64], "unknown key")
    assert f"request of {carol.tox_id[:8]}… ignored: unknown key" in alice.log
    assert carol.tox_id[:16] in alice.toxvpn("peer", "list").stdout
    assert alice.peer(carol.public_key) is None
    assert carol.sees(alice.public_key)["friend_request"] == "sent"

    # by consent
    alice.toxvpn("peer", "accept", carol.tox_id[:16], "--name", "carol", "--allow", "icmp")
    alice.wait("carol")
    carol.wait()
    assert alice.status()["pending"] == []
    assert carol.reaches(*alice.addresses)

    # by invite, once
    invite = alice.toxvpn("invite", "--name", "dave", "--allow", "icmp").stdout.strip()
    dave.start()
    dave.toxvpn("join", invite, "--name", "alice")
    dave.wait("alice")
    alice.wait("dave")
    assert dave.reaches(alice.ipv4)
    assert alice.sees(dave.public_key)["grant"] == "invite"
    erin.toxvpn("join", invite)
    erin.start()
    alice.until(lambda: alice.status()["pending"], "a refused guest", CONNECTING_S)
    [request] = alice.status()["pending"]
    assert request["public_key"] == erin.tox_id[:64] and "invite" in request["reason"]
    assert alice.peer(erin.public_key) is None

    # out again
    alice.toxvpn("peer", "remove", "carol")
    assert alice.peer(carol.public_key) is None
    assert not carol.host.ping(alice.ipv6, timeout_s=0.3)
    assert not alice.host.ping(carol.ipv6, timeout_s=0.3)

    assert talk.lost() == []
    assert bob.sees(alice.public_key)["online"]


def test_peers_are_kept(pair: tuple[Machine, Machine]) -> None:
    alice, bob = pair
    listed = alice.toxvpn("peer", "list").stdout
    alice.stop()
    stopped = alice.toxvpn("peer", "list").stdout
    for name in ("bob", "dave"):
        assert name in listed and name in stopped
    assert "carol" not in listed + stopped
    alice.start()
    alice.wait("bob", "dave")
    assert alice.reaches(bob.ipv4)
