"""The fast road between two unprivileged toxvpn with real Tox, and every way down to the other road.

One connected pair serves most tests; those that break something make a pair of their own.
"""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from forwards import DIRECT, TOXVPN, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab, apps

HERE = "127.0.0.1"
ECHO, TARGET, SOCKS = 7007, 7008, 7100
TARGET_PORT = 9000
FORWARDS = (
    "-L", f"{ECHO}:localhost:{apps.ECHO_PORT}", "-L", f"{TARGET}:{HERE}:{TARGET_PORT}", "-D", str(SOCKS)
)  # fmt: skip
NOISE = os.urandom(4 << 20)
TIMEOUT_S = 30.0
ROAD = r"streams take the (fast|tuntox) road: (.*)"


@dataclass
class Pair:
    """A server and a client on two hosts, and a listener on the server's host for tests to accept from."""

    lab: Lab
    server_host: Host
    client_host: Host
    server: Server
    client: Client
    listener: socket.socket

    def connect(self, port: int = TARGET) -> tuple[socket.socket, socket.socket]:
        """An application, and the target that it is connected to; bytes have gone both ways.

        The target may see more than one connection of a stream: where no answer came, it is opened once more.
        """
        application = self.client_host.connect(HERE, port, TIMEOUT_S)
        greeting = os.urandom(8)
        application.sendall(greeting)
        while not says(target := self.accept(), greeting):
            target.close()
        target.sendall(greeting)
        assert says(application, greeting)
        return application, target

    def accept(self) -> socket.socket:
        target, _ = self.listener.accept()
        target.settimeout(TIMEOUT_S)
        return target


def says(sock: socket.socket, data: bytes) -> bool:
    """Whether the next bytes from there are these, and not others, an end or a reset."""
    received = b""
    with suppress(ConnectionResetError):
        while len(received) < len(data) and (part := sock.recv(len(data) - len(received))):
            received += part
    return received == data


@contextmanager
def listening(host: Host) -> Iterator[socket.socket]:
    with host.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HERE, TARGET_PORT))
        listener.listen()
        listener.settimeout(TIMEOUT_S)
        yield listener


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    with a_pair(_shared_network, "server", "laptop") as pair:
        yield pair


@pytest.fixture
def own_pair(tox_network: Lab) -> Iterator[Pair]:
    """A pair to break: no other test, and no second try of the same one, uses it."""
    with a_pair(tox_network, "doomed", "doomedlaptop") as pair:
        yield pair


@contextmanager
def a_pair(lab: Lab, server_name: str, client_name: str) -> Iterator[Pair]:
    server_host, client_host = lab.host(server_name), lab.host(client_name)
    try:
        apps.echo_server(server_host)
        server = Server(lab, server_host, private_directory(server_host, "toxvpn"), env=WITH_SECRET)
        client = a_client(lab, client_host, server)
        with listening(server_host) as listener:
            yield Pair(lab, server_host, client_host, server, client, listener)
    finally:
        for host in (server_host, client_host):
            lab.remove(host)


def a_client(
    lab: Lab, host: Host, server: Server, road: str = "auto", program: Sequence[str] = TOXVPN
) -> Client:
    """Connected, without a relay."""
    client = Client(
        lab, host, f"client-{road}", server.tox_id, *FORWARDS, road=road, env=WITH_SECRET, program=program
    )
    client.wait_for(DIRECT)
    return client


def echoed(host: Host, data: bytes, port: int = ECHO) -> bytes:
    """Send `data`, end that direction, and return everything that comes back."""
    with host.connect(HERE, port, TIMEOUT_S) as sock:

        def send() -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        received = rest(sock)
        sending.join()
    return received


def rest(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def is_reset(sock: socket.socket) -> bool:
    try:
        rest(sock)
    except ConnectionResetError:
        return True
    return False


def proxied(host: Host, target: str, port: int) -> socket.socket:
    """A connection that -D made to `target`, an address or a name."""
    sock = host.connect(HERE, SOCKS, TIMEOUT_S)
    try:
        address = ip_address(target)
        kind, field = (1 if address.version == 4 else 4), address.packed
    except ValueError:
        kind, field = 3, bytes([len(target)]) + target.encode()
    sock.sendall(b"\5\1\0" + b"\5\1\0" + bytes([kind]) + field + port.to_bytes(2, "big"))
    reply = b""
    while len(reply) < 12:  # RFC 1928 §3 and §6: the method, then the reply with an IPv4 address
        reply += sock.recv(12 - len(reply))
    assert reply[:4] == b"\5\0\5\0", reply
    return sock


def roads_told(client: Client) -> list[tuple[str, str]]:
    return re.findall(ROAD, client.log_text())


# -- one pair, all well


def test_bytes_go_both_ways_over_the_fast_road(pair: Pair) -> None:
    assert echoed(pair.client_host, NOISE) == NOISE
    assert roads_told(pair.client) == [("fast", "both sides have it")]
    for side in (pair.server, pair.client):
        assert os.stat(f"/proc/{side.process.pid}").st_uid != 0  # noqa: PTH116
        assert stack_of(side)


def stack_of(side: Server | Client) -> int:
    """The process that owns its private stack."""
    pid = side.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    [found] = [child for child in children if "toxvpn-stack" in Path(f"/proc/{child}/comm").read_text()]
    return int(found)


@pytest.mark.parametrize("near_first", [True, False])
def test_each_way_ends_by_itself(pair: Pair, near_first: bool) -> None:
    application, target = pair.connect()
    first, second = (application, target) if near_first else (target, application)
    with first, second:
        first.sendall(b"last words")
        first.shutdown(socket.SHUT_WR)
        assert rest(second) == b"last words"
        second.sendall(b"and the answer")
        second.close()
        assert rest(first) == b"and the answer"


@pytest.mark.parametrize("near_first", [True, False])
def test_a_reset_goes_all_the_way(pair: Pair, near_first: bool) -> None:
    application, target = pair.connect()
    first, second = (application, target) if near_first else (target, application)
    first.sendall(b"x")
    assert second.recv(1) == b"x"
    reset(first)
    with second:
        assert is_reset(second)


@pytest.mark.parametrize("road", ["auto", "tuntox"])
def test_the_proxy_takes_addresses_and_names(pair: Pair, road: str, tox_network: Lab) -> None:
    host = pair.client_host if road == "auto" else tox_network.host("other")
    client = pair.client if road == "auto" else a_client(pair.lab, host, pair.server, road)
    for target in (HERE, "::1", "localhost"):
        with proxied(host, target, apps.ECHO_PORT) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert rest(sock) == b"hello"
    assert roads_told(client)[-1][0] == ("fast" if road == "auto" else "tuntox")


# -- the ways down to the other road

BECOME_NOBODY_AGAIN = 'exec setpriv --ambient-caps=-all --inh-caps=-all "$@"'
OWN_USER_NAMESPACE = ("unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-c")
WITHOUT = {
    "user namespaces": (
        (
            *OWN_USER_NAMESPACE,
            f"echo 0 >/proc/sys/user/max_user_namespaces && {BECOME_NOBODY_AGAIN}",
            "sh",
        ),
        "user namespaces are not allowed here: sysctl user.max_user_namespaces is 0",
    ),
    "a TUN device": (
        (*OWN_USER_NAMESPACE, f"mount -t tmpfs none /dev/net && {BECOME_NOBODY_AGAIN}", "sh"),
        "/dev/net/tun",
    ),
}
"""A program that starts the rest of its arguments without them, and why there is no fast road then."""


@pytest.mark.parametrize("missing", WITHOUT)
def test_a_client_machine_that_does_not_allow_it(pair: Pair, missing: str, tox_network: Lab) -> None:
    host = tox_network.host("bare")
    prefix, reason = WITHOUT[missing]
    client = a_client(pair.lab, host, pair.server, "auto", (*prefix, *TOXVPN))
    assert echoed(host, NOISE[:10_000]) == NOISE[:10_000]
    [(road, why)] = roads_told(client)
    assert (road, reason in why) == ("tuntox", True), why
    [_] = [line for line in client.log_text().splitlines() if reason in line]


OLDER = """
from toxvpn.tcpforward import roads
from toxvpn.tcpforward.fast.stack import StackUnavailableError
from toxvpn.wire import statusmessage
async def start(*_): raise StackUnavailableError("this is an older one")
roads.Stack.start = start
encode = statusmessage._encode_ours
def without_fast(ours):
    fields = encode(ours)
    del fields["fast"]
    return fields
statusmessage._encode_ours = without_fast
"""
NO_TOXVPN = OLDER + "statusmessage._encode_ours = lambda ours: None\n"
RUN = "from toxvpn.cli.main import main; raise SystemExit(main())"
OTHER_SERVERS = {
    "an older toxvpn": ((sys.executable, "-c", OLDER + RUN), "the peer does not offer the fast road"),
    "no toxvpn": ((sys.executable, "-c", NO_TOXVPN + RUN), "the peer is not a toxvpn"),
    "without a TUN device": ((*WITHOUT["a TUN device"][0], *TOXVPN), "the peer does not offer the fast road"),
}


@pytest.mark.parametrize("kind", OTHER_SERVERS)
def test_a_server_that_does_not_offer_it(kind: str, tox_network: Lab) -> None:
    hosts = tox_network.host("elsewhere"), tox_network.host("bare")
    apps.echo_server(hosts[0])
    program, reason = OTHER_SERVERS[kind]
    directory = private_directory(hosts[0], kind.replace(" ", "-"))
    server = Server(tox_network, hosts[0], directory, env=WITH_SECRET, program=program)
    client = a_client(tox_network, hosts[1], server)
    assert echoed(hosts[1], NOISE[:10_000]) == NOISE[:10_000]
    assert roads_told(client) == [("tuntox", reason)]


def test_road_fast_says_why_it_cannot_be_had(pair: Pair, tox_network: Lab) -> None:
    host = tox_network.host("bare")
    prefix, reason = WITHOUT["user namespaces"]
    client = a_client(pair.lab, host, pair.server, "fast", (*prefix, *TOXVPN))
    # the reset may come before connect() has returned
    with suppress(ConnectionResetError), host.connect(HERE, ECHO, TIMEOUT_S) as sock:
        assert is_reset(sock)
    client.wait_for(f"WARNING: localhost:7: --road fast: {reason}")


# -- what breaks the pair


def test_a_stream_survives_a_break_of_the_path(own_pair: Pair) -> None:
    application, target = own_pair.connect()
    with application, target:
        own_pair.client_host.down()
        application.sendall(NOISE[:100_000])
        target.settimeout(2)
        with pytest.raises(TimeoutError):
            target.recv(1)
        own_pair.client_host.up()
        target.settimeout(TIMEOUT_S)
        assert says(target, NOISE[:100_000])


LARGE_BYTES = 1200
SWALLOWS_LARGE = f"""
table inet narrow {{
  chain arriving {{ type filter hook input priority 0; udp length > {LARGE_BYTES} drop; }}
}}"""


def test_a_path_that_swallows_large_packets_is_found_out(own_pair: Pair) -> None:
    """TCP in the private stack makes its packets smaller (RFC 4821)."""
    for host in (own_pair.server_host, own_pair.client_host):
        assert host.uplink
        host.uplink.disable_offload()
        host.namespace.nft(SWALLOWS_LARGE)
    application, target = own_pair.connect()
    with application, target:
        application.sendall(NOISE[:300_000])
        application.close()
        assert rest(target) == NOISE[:300_000]
    assert roads_told(own_pair.client)[-1][0] == "fast"


DEAF = """
table inet deaf {
  chain arriving { type filter hook input priority 0; policy drop; }
}"""


def inside_stack(side: Server | Client, *argv: str, given: str = "") -> None:
    enter = ["nsenter", "--net", "--target", str(stack_of(side))]
    subprocess.run([*enter, *argv], input=given, text=True, check=True)


def test_lossy_packets_that_do_not_arrive(own_pair: Pair) -> None:
    """The server's private stack hears nothing. Only the first stream waits, for 3 s."""
    inside_stack(own_pair.server, "nft", "-f", "-", given=DEAF)
    for _ in range(2):
        assert echoed(own_pair.client_host, NOISE[:10_000]) == NOISE[:10_000]
    reason = "the peer's private stack cannot be reached: no answer in 3 s"
    assert roads_told(own_pair.client) == [("tuntox", reason)]
    assert own_pair.client.log_text().count("no answer in 3 s") == 1


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_killed_helper_resets_streams_and_the_other_road_goes_on(own_pair: Pair, side: str) -> None:
    application, target = own_pair.connect()
    own_pair.client.wait_for("streams take the fast road")
    running: Server | Client = getattr(own_pair, side)
    os.kill(stack_of(running), 9)
    with application, target:
        assert is_reset(application)
        assert is_reset(target)
    lost = "the private stack is lost, its streams are reset: the helper process has ended"
    assert running.log_text().count(lost) == 1
    assert echoed(own_pair.client_host, b"hello") == b"hello"
    assert roads_told(own_pair.client)[-1][0] == "tuntox"
