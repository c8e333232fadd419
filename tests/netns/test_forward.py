"""Forwards over the tuntox road, as users have them: two unprivileged toxvpn behind two NATs, real toxcore.

One connected pair serves most tests; those that break it come last.
"""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from forwards import (
    CONNECTING_S,
    DIRECT,
    ONLINE,
    SECRET,
    TOXVPN,
    USER,
    WITH_SECRET,
    Client,
    Server,
    private_directory,
)

from lab import Host, Lab, apps, wait_until
from lab.require import require

ECHO, REFUSED, SSH, HTTP, ECHO6, SOCKS = 7007, 7009, 7022, 7080, 7006, 7100
FORWARDS = {
    ECHO: "127.0.0.1:7",
    REFUSED: "127.0.0.1:9",
    SSH: "localhost:22",
    HTTP: f"localhost:{apps.HTTP_PORT}",
    ECHO6: "[::1]:7",
}
HERE = "127.0.0.1"
NOISE = os.urandom(1 << 20)


@dataclass(frozen=True)
class Pair:
    """A server and a running client, connected without a relay; what the server reaches."""

    lab: Lab
    server_host: Host
    client_host: Host
    directory: Path  # the server's
    server: Server
    client: Client
    sshd: apps.Sshd

    def client_argv(self, *arguments: str) -> list[str]:
        """Another client, one that ends by itself."""
        return [
            *TOXVPN, "-i", self.server.tox_id, "-b", str(self.lab.nodes_json), "--road", "tuntox", *arguments
        ]  # fmt: skip

    def run(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.client_host.run(
            self.client_argv(*arguments), user=USER, env=WITH_SECRET, input=input, check=False, timeout_s=90
        )

    def restarted(self) -> Server:
        return Server(self.lab, self.server_host, self.directory, env=WITH_SECRET)


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    require("sshd", "ssh", "ssh-keygen", "scp", "git", "curl")
    lab = _shared_network
    outer = lab.nat("office"), lab.nat("home")
    server_host, client_host = outer[0].host("server"), outer[1].host("laptop")
    sshd = apps.sshd(server_host)
    apps.echo_server(server_host)
    files = server_host.directory / "www"
    files.mkdir()
    files.joinpath("page").write_text("served")
    apps.http_server(server_host, files)
    directory = private_directory(server_host, "toxvpn")
    server = Server(lab, server_host, directory, env=WITH_SECRET)
    forwards = [word for port, target in FORWARDS.items() for word in ("-L", f"{port}:{target}")]
    client = Client(lab, client_host, "client", server.tox_id, *forwards, "-D", str(SOCKS), env=WITH_SECRET)
    client.wait_for(DIRECT)
    yield Pair(lab, server_host, client_host, directory, server, client, sshd)
    for host in (server_host, client_host, *outer):
        lab.remove(host)


def echoed(host: Host, port: int, data: bytes, timeout_s: float = 30.0, address: str = HERE) -> bytes:
    """Send `data`, end that direction, and return everything that comes back."""
    with host.connect(address, port, timeout_s) as sock:

        def send() -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        received = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        sending.join()
    return received


def test_two_hosts_behind_nats_connect_directly(pair: Pair) -> None:
    assert echoed(pair.client_host, ECHO, b"hello") == b"hello"
    assert echoed(pair.client_host, ECHO, b"hello", address="::1") == b"hello"


def test_a_target_may_be_an_ipv6_address(pair: Pair) -> None:
    assert echoed(pair.client_host, ECHO6, b"hello") == b"hello"


def test_a_stream_that_the_client_half_closes_still_gets_its_whole_answer(pair: Pair) -> None:
    assert echoed(pair.client_host, ECHO, NOISE) == NOISE


def test_scp_copies_20_mb_unchanged(pair: Pair, tmp_path: Path) -> None:
    source, copy = pair.server_host.directory / "20 MB", tmp_path / "copy"
    source.write_bytes(os.urandom(20_000_000))
    argv = pair.sshd.client(f"-P{SSH}", f"root@{HERE}:{source}", str(copy))
    pair.client_host.run(["scp", *argv[1:]], timeout_s=120)
    assert sha256(copy) == sha256(source)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_git_clones_through_a_proxy_command(pair: Pair, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    origin = pair.server_host.directory / "origin"
    subprocess.run([*git, "init", "-q", origin], check=True)
    origin.joinpath("file").write_bytes(NOISE)
    subprocess.run([*git, "-C", origin, "add", "file"], check=True)
    subprocess.run([*git, "-C", origin, "commit", "-q", "-m", "noise"], check=True)
    proxy = " ".join(pair.client_argv("-P", "%h:%p"))
    home = private_directory(pair.client_host, "clone")
    key = home / "key"
    shutil.copyfile(pair.sshd.client_key, key)
    shutil.chown(key, USER)
    key.chmod(0o600)
    ssh = [
        word.replace(str(pair.sshd.client_key), str(key))
        for word in pair.sshd.client(f"-oProxyCommand={proxy}")
    ]
    quoted = " ".join(f"'{word}'" for word in ssh)
    pair.client_host.run(
        ["git", "clone", "-q", f"ssh://root@localhost{origin}", str(home / "copy")],
        user=USER,
        env={**WITH_SECRET, "GIT_SSH_COMMAND": quoted},
        timeout_s=60,
    )
    assert (home / "copy" / "file").read_bytes() == NOISE


def test_a_hundred_parallel_fetches_all_arrive(pair: Pair) -> None:
    directory = private_directory(pair.client_host, "fetched")
    pair.client_host.run(
        ["curl", "-sSf", "-Z", "--parallel-immediate", "--parallel-max", "100", "-H", "Connection: close",
         "-o", f"{directory}/#1", f"http://{HERE}:{HTTP}/page?[1-100]"],
        user=USER,
    )  # fmt: skip
    assert [path.read_text() for path in directory.iterdir()] == ["served"] * 100


def test_curl_fetches_through_the_socks5_proxy(pair: Pair) -> None:
    url = f"http://localhost:{apps.HTTP_PORT}/page"
    proxied = ["curl", "-sS", "--socks5-hostname", f"{HERE}:{SOCKS}"]
    assert pair.client_host.run([*proxied, url], user=USER).stdout == "served"
    refused = pair.client_host.run([*proxied, "http://localhost:9/"], user=USER, check=False)
    assert refused.returncode == 97 and "(5)" in refused.stderr  # CURLE_PROXY, with the code of RFC 1928


def test_a_refused_target_closes_the_connection_at_once(pair: Pair) -> None:
    with pytest.raises(ConnectionResetError), pair.client_host.connect(HERE, REFUSED) as sock:
        sock.recv(1)
    assert f"{FORWARDS[REFUSED]}: the peer says: connection refused" in pair.client.log_text()


def test_a_port_in_use_is_one_line_and_exit_code_1(pair: Pair) -> None:
    ran = pair.run("-L", f"{ECHO}:localhost:7")
    assert ran.returncode == 1
    [line] = [line for line in ran.stderr.splitlines() if "INFO" not in line]
    assert f"cannot listen on {HERE}:{ECHO}: the port is in use" in line


def test_a_pipe_ends_with_its_stream(pair: Pair) -> None:
    ran = pair.run("-P", "localhost:7", input="hello")
    assert (ran.returncode, ran.stdout) == (0, "hello")


def test_a_pipe_to_a_refused_target_ends_like_ssh(pair: Pair) -> None:
    ran = pair.run("-P", "localhost:9", input="hello")
    assert (ran.returncode, ran.stdout) == (255, "")
    assert "connection refused" in ran.stderr


def test_the_id_is_told_while_the_server_runs(pair: Pair) -> None:
    printed = pair.server_host.run([*TOXVPN, "-C", str(pair.directory), "id"], user=USER)
    assert printed.stdout == f"{pair.server.tox_id}\n"


def test_a_wrong_secret_gets_nothing(pair: Pair) -> None:
    stranger = Client(
        pair.lab, pair.client_host, "wrong", pair.server.tox_id, "-p", env={"TOXVPN_SHARED_SECRET": "a guess"}
    )
    pair.server.wait_for("request of [0-9A-F]{8}… ignored: the secret is wrong")
    assert not re.search(ONLINE, stranger.log_text())
    stranger.stop()
    assert SECRET not in pair.server.log_text() and "a guess" not in pair.server.log_text()


def test_a_whitelist_lets_in_its_keys_alone(pair: Pair) -> None:
    kept = private_directory(pair.client_host, "known")
    known = pair.client_host.run([*TOXVPN, "-C", str(kept), "id"], user=USER).stdout.strip()
    directory = private_directory(pair.server_host, "whitelist")
    server = Server(pair.lab, pair.server_host, directory, "-i", known)
    stranger = Client(pair.lab, pair.client_host, "stranger", server.tox_id, "-p")
    friend = Client(pair.lab, pair.client_host, "friend", server.tox_id, "-C", str(kept), "-p")
    assert friend.process.wait(CONNECTING_S) == 0
    server.wait_for("request of [0-9A-F]{8}… ignored: not on the whitelist")
    assert not re.search(ONLINE, stranger.log_text())
    stranger.stop()
    server.stop()


def test_without_udp_a_relay_carries(pair: Pair) -> None:
    """And -p says so."""
    host = pair.lab.host("firewalled")
    host.block_udp()
    client = Client(
        pair.lab, host, "client", pair.server.tox_id, "-L", f"{ECHO}:{FORWARDS[ECHO]}", env=WITH_SECRET
    )
    client.wait_for(ONLINE)
    assert echoed(host, ECHO, NOISE[:100_000]) == NOISE[:100_000]
    said = host.run(pair.client_argv("-p"), user=USER, env=WITH_SECRET, timeout_s=60).stdout
    assert re.fullmatch(r"pong from [0-9A-F]{8} via tcp-relay in [0-9.]+ ms\n", said)
    assert not re.search(DIRECT, client.log_text())
    pair.lab.remove(host)


def test_a_killed_server_is_usable_again_through_the_running_client(pair: Pair) -> None:
    """And it is the same one: its Tox ID, and who was let in, are kept."""
    let_in = pair.server.wait_for("peer ([0-9A-F]{8}): accepted")[1]
    record = pair.directory / "friends.json"
    wait_until(lambda: record.exists() and let_in in record.read_text(), "record of who was let in")
    pair.server.kill()
    server = pair.restarted()
    assert server.tox_id == pair.server.tox_id

    def works() -> bool:
        try:
            return echoed(pair.client_host, ECHO, b"hello", 90.0) == b"hello"
        except ConnectionResetError:  # the old connection, which was lost with the server
            return False

    wait_until(works, "answer through the client that went on running", 90.0)
    assert pair.client.process.poll() is None
    assert "accepted" not in server.log_text()
    server.stop()
