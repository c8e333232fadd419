"""Unix sockets at both ends of forwards, between two unprivileged toxvpn, by either road."""

import os
import re
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwnam

import pytest
from forwards import ONLINE, TOXVPN, USER, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab, apps, wait_until

NOISE = os.urandom(1 << 19)
TIMEOUT_S = 30.0
HERE = "127.0.0.1"
PORTS = {"fast": 7007, "tuntox": 7008}
ROADS = tuple(PORTS)


def serve_echo(path: Path) -> socket.socket:
    """Everybody may use it; each connection gets back what it sends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen()

    def echo(connection: socket.socket) -> None:
        with connection, suppress(ConnectionResetError):
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # it is closed
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


def connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(TIMEOUT_S)
    sock.connect(str(path))
    return sock


def echoed(sock: socket.socket, data: bytes = NOISE) -> bytes:
    """What comes back, up to the end."""
    with sock:

        def send() -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        received = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        sending.join()
    return received


def is_reset(sock: socket.socket) -> bool:
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return False


@dataclass
class Pair:
    """`served` is the socket behind the server, which may be reached; `other` may not."""

    lab: Lab
    client_host: Host
    server: Server
    home: Path
    served: Path
    other: Path
    clients: dict[str, Client]

    def local(self, road: str, name: str = "app") -> Path:
        return self.home / f"{name}-{road}.sock"

    def client(self, road: str, name: str) -> Client:
        """One with listeners of its own, whose names begin with that."""
        forwards = [f"{self.local(road, name)}:{self.served}"]
        if name == "app":
            forwards += [
                f"{PORTS[road]}:{self.served}",
                f"{self.local(road, 'tcp')}:localhost:{apps.ECHO_PORT}",
                f"{self.local(road, 'other')}:{self.other}",
            ]
        words = [word for each in forwards for word in ("-L", each)]
        arguments = (self.server.tox_id, *words)
        return Client(self.lab, self.client_host, f"{name}-{road}", *arguments, road=road, env=WITH_SECRET)


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    lab = _shared_network
    hosts = lab.host("served"), lab.host("caller")
    apps.echo_server(hosts[0])
    kept, home = private_directory(hosts[0], "kept"), private_directory(hosts[1], "home")
    served, other = kept / "echo.sock", kept / "other.sock"
    (kept / "rules").write_text(f"localhost:0\nunix:{served}\n")
    echoes = serve_echo(served), serve_echo(other)
    server = Server(lab, hosts[0], kept, "-f", str(kept / "rules"), env=WITH_SECRET)
    pair = Pair(lab, hosts[1], server, home, served, other, {})
    pair.clients |= {road: pair.client(road, "app") for road in ROADS}
    for client in pair.clients.values():
        client.wait_for(ONLINE)
    yield pair
    for host in hosts:
        lab.remove(host)
    for echo in echoes:
        echo.close()


@pytest.mark.parametrize("road", ROADS)
def test_a_socket_leads_to_a_socket(pair: Pair, road: str) -> None:
    assert echoed(connect(pair.local(road))) == NOISE
    assert f"streams take the {road} road" in pair.clients[road].log_text()


@pytest.mark.parametrize("road", ROADS)
def test_a_port_leads_to_a_socket_and_a_socket_to_a_port(pair: Pair, road: str) -> None:
    assert echoed(pair.client_host.connect(HERE, PORTS[road], TIMEOUT_S)) == NOISE
    assert echoed(connect(pair.local(road, "tcp"))) == NOISE


def test_the_socket_is_its_users_alone(pair: Pair) -> None:
    info = pair.local("fast").lstat()
    assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (getpwnam(USER).pw_uid, 0o600)


@pytest.mark.parametrize("road", ROADS)
def test_what_no_rule_names_is_refused(pair: Pair, road: str) -> None:
    with connect(pair.local(road, "other")) as application:
        try:
            application.sendall(b"hello")
        except BrokenPipeError:  # closed sooner, with nothing unread: that is told here, and is no reset
            pass
        else:
            assert is_reset(application)
    pair.clients[road].wait_for(f"{pair.other}: the peer says: not allowed; its log says why")
    pair.server.wait_for(re.escape(f"{pair.other}: no rule names it"))


def test_a_killed_client_resets_its_streams_and_the_next_takes_its_socket(pair: Pair) -> None:
    road = "fast"
    path = pair.local(road, "killed")
    client = pair.client(road, "killed")
    client.wait_for(ONLINE)
    with connect(path) as application:
        application.sendall(b"hello")
        assert application.recv(5) == b"hello"
        client.kill()
        assert is_reset(application)
    left = path.lstat()
    client = pair.client(road, "killed")
    client.wait_for("listening: ")
    assert path.lstat().st_ctime_ns != left.st_ctime_ns
    assert echoed(connect(path), b"hello") == b"hello"
    client.process.send_signal(signal.SIGTERM)
    client.process.wait(TIMEOUT_S)
    assert not path.exists()


def test_two_clients_cannot_have_one_socket(pair: Pair) -> None:
    argv = [*TOXVPN, "-i", pair.server.tox_id, "-L", f"{pair.local('fast')}:localhost:80"]
    ran = pair.client_host.run(argv, user=USER, env=WITH_SECRET, check=False, timeout_s=TIMEOUT_S)
    assert ran.returncode == 1
    assert f"cannot listen on {pair.local('fast')}: a program listens there" in ran.stderr
    assert echoed(connect(pair.local("fast")), b"still") == b"still"


def test_commands_that_share_a_node(pair: Pair) -> None:
    """The command has made the socket and removes it; the node accepts on it. Then -P, by the same node."""
    env = {**WITH_SECRET, "XDG_RUNTIME_DIR": str(pair.home), "XDG_DATA_HOME": str(pair.home)}
    argv = [*TOXVPN, "-b", str(pair.lab.nodes_json), "-i", pair.server.tox_id]
    path = pair.home / "shared.sock"
    command = pair.client_host.popen(
        [*argv, "-L", f"{path}:{pair.served}"], user=USER, env=env, stderr=subprocess.DEVNULL
    )
    wait_until(path.exists, "the command's socket")
    assert echoed(connect(path)) == NOISE
    ran = pair.client_host.run(
        [*argv, "-P", str(pair.served)], user=USER, env=env, input="hello", timeout_s=60
    )
    assert ran.stdout == "hello"
    command.terminate()
    command.wait(TIMEOUT_S)
    assert not path.exists()
