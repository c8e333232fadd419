"""What a peer may reach over the VPN: real kernels on both sides, and rules that change while they talk."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from vpns import Machine

from lab import Lab, apps, wait_until

OPEN, SHUT = 7, 8
UNANSWERED_S = 0.5
SECTION = """
[vpn]
[peers.bob]
id = "{bob}"
allow = [{allow}]
"""


class Pair:
    def __init__(self, lab: Lab) -> None:
        self.alice, self.bob = (Machine(lab, lab.host(name)) for name in ("alice", "bob"))
        for machine in (self.alice, self.bob):
            for port in (OPEN, SHUT):
                apps.echo_server(machine.host, port)

    def allow(self, *rules: str) -> None:
        listed = ", ".join(f'"{rule}"' for rule in rules)
        text = SECTION.format(bob=self.bob.tox_id, allow=listed)
        (self.alice.directory / "config.toml").write_text(text)

    def refused(self) -> int:
        """Packets of Bob's that Alice has refused by her rules."""
        count: int = self.alice.sees(self.bob.public_key)["drops"].get("policy", 0)
        return count


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    lab = _shared_network
    before = set(lab.hosts)
    made = Pair(lab)
    made.allow(f"localhost:{OPEN}", "icmp")
    made.bob.start("--peer", made.alice.tox_id)
    made.alice.start()
    made.alice.wait()
    made.bob.wait()
    yield made
    for name in set(lab.hosts) - before:
        lab.remove(lab.hosts[name])


def connects(machine: Machine, address: str, port: int) -> bool:
    try:
        with machine.host.connect(address, port, timeout_s=UNANSWERED_S):
            return True
    except TimeoutError:
        return False


def echoes(connection: socket.socket, word: bytes) -> bool:
    connection.settimeout(UNANSWERED_S)
    try:
        connection.sendall(word)
        return connection.recv(100) == word
    except TimeoutError:
        return False


def test_only_what_is_allowed_is_reached_and_what_we_begin_is_answered(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    assert bob.reaches(*alice.addresses) and alice.reaches(*bob.addresses)
    for address in alice.addresses:
        assert connects(bob, address, OPEN)
        before = pair.refused()
        assert not connects(bob, address, SHUT)
        assert pair.refused() > before
    for address in bob.addresses:  # Alice is not limited there, and Bob's answers come back
        assert connects(alice, address, OPEN) and connects(alice, address, SHUT)

    allowed = alice.toxvpn("policy", "bob", f"tcp/{OPEN}")
    assert f"by the rule 'localhost:{OPEN}'" in allowed.stdout
    refused = alice.toxvpn("policy", "bob", f"tcp/{SHUT}", check=False)
    assert refused.returncode == 4 and "bob may not reach" in refused.stdout
    assert alice.sees(bob.public_key)["allow"] == [f"localhost:{OPEN}", "icmp"]


def test_what_is_taken_back_stops_and_the_rest_goes_on(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    pair.allow(f"localhost:{OPEN}", f"localhost:{SHUT}")
    alice.toxvpn("reload")
    with contextlib.ExitStack() as open_ones:
        kept, ended = (open_ones.enter_context(bob.host.connect(alice.ipv4, port)) for port in (OPEN, SHUT))
        ours = open_ones.enter_context(alice.host.connect(bob.ipv6, SHUT))
        assert echoes(kept, b"1") and echoes(ended, b"1") and echoes(ours, b"1")
        pair.allow(f"localhost:{OPEN}")
        alice.toxvpn("reload")
        assert echoes(kept, b"2") and echoes(ours, b"2")
        assert not echoes(ended, b"2")
        assert not connects(bob, alice.ipv4, SHUT)
        assert not bob.host.ping(alice.ipv6, timeout_s=UNANSWERED_S)


def test_an_accepted_peer_reaches_nothing_until_a_person_says_what(pair: Pair, _shared_network: Lab) -> None:
    alice, carol = pair.alice, Machine(_shared_network, _shared_network.host("carol"))
    carol.start("--peer", alice.tox_id)
    alice.until(lambda: alice.status()["pending"], "a pending request", 45)
    told = alice.toxvpn("peer", "accept", carol.tox_id[:16], "--name", "carol").stderr
    assert "it may reach nothing here over the VPN" in told
    alice.wait("carol")
    carol.wait()
    assert alice.reaches(carol.ipv4)  # the way is there
    assert not connects(carol, alice.ipv4, OPEN)
    alice.toxvpn("peer", "allow", "carol", f"tcp/localhost:{OPEN}")
    wait_until(lambda: connects(carol, alice.ipv4, OPEN), "a connection to Alice")
    assert not carol.host.ping(alice.ipv4, timeout_s=UNANSWERED_S)
    assert "may reach over the VPN: nothing here" in alice.log
