"""Programs find each other over the VPN: discovery by mDNS, and games that broadcast; real toxcore.

Alice and Bob have chosen groups, Carol is on the same network and has not.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from vpns import INTERFACE, Machine, connected

from lab import Host, Lab

GROUPS = ("--multicast", "mdns,broadcast,239.1.2.3")
GAME_PORT = 27015
MDNS_PORT = 5353
ANSWER_S = 5.0
AT_ONCE = 200


@dataclass(frozen=True)
class Scene:
    alice: Machine
    bob: Machine
    carol: Machine


@pytest.fixture(scope="module")
def scene(_shared_network: Lab) -> Iterator[Scene]:
    lab = _shared_network
    machines = [Machine(lab, lab.host(name)) for name in ("alice", "bob", "carol")]
    connected(*machines, arguments={"alice": GROUPS, "bob": GROUPS})
    for one, other in (machines[:2], machines[1::-1]):
        one.wait("--direct")
        one.until(lambda one=one, other=other: one.sees(other.public_key)["multicast"], "groups in common")  # type: ignore[misc]
    yield Scene(*machines)
    for machine in machines:
        lab.remove(machine.host)


@contextlib.contextmanager
def udp(host: Host, family: int = socket.AF_INET, port: int = 0) -> Iterator[socket.socket]:
    """A socket of a program that chooses neither address nor interface."""
    with host.call(socket.socket, family, socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", port))
        made.settimeout(ANSWER_S)
        yield made


def index(host: Host) -> int:
    return host.call(socket.if_nametoindex, INTERFACE)


def test_the_status_says_what_both_have_chosen(scene: Scene) -> None:
    assert scene.alice.status()["self"]["multicast"] == ["239.1.2.3", "broadcast", "mdns"]
    assert scene.alice.sees(scene.bob.public_key)["multicast"] == ["239.1.2.3", "broadcast", "mdns"]
    assert scene.alice.sees(scene.carol.public_key)["multicast"] == []
    assert "multicast: 239.1.2.3, broadcast, mdns" in scene.alice.toxvpn("status").stdout


@pytest.mark.parametrize("group", ["255.255.255.255", "239.1.2.3"])
def test_a_game_that_is_looked_for_by_broadcast_answers(scene: Scene, group: str) -> None:
    with (
        udp(scene.bob.host, port=GAME_PORT) as server,
        udp(scene.carol.host, port=GAME_PORT) as stranger,
        udp(scene.alice.host) as player,
    ):
        player.sendto(b"who plays?", (group, GAME_PORT))
        question, asker = server.recvfrom(100)
        assert (question, asker[0]) == (b"who plays?", scene.alice.ipv4)
        server.sendto(b"I do", asker)
        assert player.recvfrom(100) == (b"I do", (scene.bob.ipv4, GAME_PORT))
        stranger.settimeout(0)
        with pytest.raises(BlockingIOError):
            stranger.recv(100)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_mdns_asks_and_answers_by_the_group(scene: Scene, family: socket.AddressFamily) -> None:
    """As programs do it: from port 5353, on the interface, to the group, in both directions."""
    alice, bob = scene.alice, scene.bob
    with udp(alice.host, family, MDNS_PORT) as asks, udp(bob.host, family, MDNS_PORT) as answers:
        for sock, machine in ((asks, alice), (answers, bob)):
            if family == socket.AF_INET:
                own = socket.inet_aton(machine.ipv4)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            else:
                interface = struct.pack("I", index(machine.host))
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        group = "224.0.0.251" if family == socket.AF_INET else "ff02::fb"
        for sender, receiver, machine in ((asks, answers, alice), (answers, asks, bob)):
            sender.sendto(b"a question or an answer", (group, MDNS_PORT))
            data, source = receiver.recvfrom(100)
            assert data == b"a question or an answer"
            assert source[:2] == (machine.addresses[family == socket.AF_INET6], MDNS_PORT)


def test_a_flood_is_cut_and_counted(scene: Scene) -> None:
    """Late: it uses up what Alice may send for a while."""
    with udp(scene.bob.host, port=GAME_PORT) as server, udp(scene.alice.host) as player:
        for number in range(5 * AT_ONCE):
            player.sendto(number.to_bytes(4, "big"), ("255.255.255.255", GAME_PORT))

        def dropped() -> int:
            drops = scene.alice.sees(scene.bob.public_key)["drops"]
            return int(drops.get("multicast_rate", 0))

        scene.alice.until(lambda: dropped() > AT_ONCE, "a drop of what is too much")
        received, server_waits_s = 0, 0.3
        server.settimeout(server_waits_s)
        with contextlib.suppress(TimeoutError):
            while server.recv(100):
                received += 1
        assert AT_ONCE / 2 < received <= 5 * AT_ONCE - dropped()


def test_it_leaves_no_trace(scene: Scene) -> None:
    host = scene.alice.host
    assert "toxvpn_multicast" in host.run(["nft", "list", "tables"]).stdout
    assert scene.alice.stop() == 0
    assert "toxvpn_multicast" not in host.run(["nft", "list", "tables"]).stdout
