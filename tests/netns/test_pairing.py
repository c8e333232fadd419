"""Two machines behind two NATs meet by an invite, by their IDs, or by consent: real toxcore, real devices."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forwards import TOXVPN

from lab import Host, Lab, wait_until

CONNECTING_S = 45
DIRECT_S = 60


@dataclass(frozen=True)
class Machine:
    """A host, and where toxvpn keeps its files there."""

    lab: Lab
    host: Host
    directory: Path

    def argv(self, *arguments: object) -> list[str]:
        return [*TOXVPN, *map(str, arguments), "-C", str(self.directory)]

    def toxvpn(self, *arguments: object, code: int = 0) -> str:
        """Run the command, check its exit code, and return what it prints."""
        ran = self.host.run(self.argv(*arguments), check=False, timeout_s=DIRECT_S + 10)
        assert ran.returncode == code, f"{arguments}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def up(self, *arguments: object) -> "subprocess.Popen[bytes]":
        """Returns at once: the verbs wait for it."""
        with self.directory.with_suffix(".log").open("ab") as log:
            return self.host.popen(self.argv("up", "-b", self.lab.nodes_json, *arguments), stderr=log)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.toxvpn("status", "--json"))
        return document

    def reaches(self, *peers: str) -> None:
        self.toxvpn("wait", "--timeout", CONNECTING_S, *peers)


Pair = tuple[Machine, Machine]


@pytest.fixture
def pair(tox_network: Lab, tmp_path: Path) -> Pair:
    office, home = tox_network.nat("office"), tox_network.nat("home")
    return (
        Machine(tox_network, office.host("alice"), tmp_path / "alice"),
        Machine(tox_network, home.host("bob"), tmp_path / "bob"),
    )


def test_an_invite_from_beginning_to_end(pair: Pair) -> None:
    alice, bob = pair
    running = alice.up()
    alice.toxvpn("wait", code=4)  # it runs, and has nobody to wait for
    bob.toxvpn("join", alice.toxvpn("invite", "--name", "bob", "--allow", "icmp").strip(), "--name", "alice")
    bob.up()
    bob.reaches()
    alice.reaches("bob")
    bob.toxvpn("wait", "alice", "--direct", "--timeout", DIRECT_S)
    assert bob.toxvpn("ping", "alice", "--direct").startswith("pong from alice (")
    (peer,) = bob.status()["peers"]
    assert (peer["name"], peer["online"], peer["path"]) == ("alice", True, "udp")
    own = alice.status()["self"]
    assert (peer["ipv4"], peer["ipv6"]) == (own["ipv4"], own["ipv6"])
    for address in (own["ipv4"], own["ipv6"]):
        assert bob.host.ping(address, count=2, timeout_s=5)

    alice.toxvpn("peer", "remove", "bob")
    assert alice.status()["peers"] == []
    assert not bob.host.ping(own["ipv6"], timeout_s=1)
    bob.toxvpn("wait", "--timeout", "0.1", code=5)

    alice.toxvpn("down")
    assert running.wait(1) == 0
    alice.toxvpn("status", code=3)
    alice.toxvpn("down")


def test_two_that_name_each_other_need_no_further_step(pair: Pair) -> None:
    alice, bob = pair
    ids = [machine.toxvpn("id").strip() for machine in pair]
    alice.up("--peer", ids[1])
    bob.up("--peer", ids[0])
    alice.reaches(ids[1])
    bob.reaches(ids[0])


def test_a_stranger_is_let_in_by_consent_and_remembered(pair: Pair) -> None:
    alice, bob = pair
    running = alice.up()
    bob.up("--peer", alice.toxvpn("id").strip())
    digits = bob.toxvpn("id")[:16]
    wait_until(lambda: digits in alice.toxvpn("peer", "list"), "a request from bob", CONNECTING_S)
    alice.toxvpn("peer", "accept", digits, "--name", "bob")
    alice.reaches("bob")
    alice.toxvpn("down")
    running.wait(5)
    alice.up()
    alice.reaches("bob")
