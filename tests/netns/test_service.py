"""toxvpn under a real systemd, by the units that are shipped, as `toxvpn service install` puts them there.

One booted service serves forwards and is on the VPN; another machine uses both. What ends it comes last.
"""

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from booted import NEEDED, Booted
from forwards import CONNECTING_S, SECRET, WITH_SECRET, Running
from vpns import Machine

from lab import Host, Lab, LabError, apps, wait_until
from lab.require import require
from toxvpn.cli.service import SHIPPED

TOXVPN = (sys.executable, "-m", "toxvpn")
UNIT = "toxvpn.service"
NET_ADMIN = 1 << 12
DYNAMIC_USERS = range(61184, 65520)  # systemd.exec(5), DynamicUser=
CONFIG = """
[node]
nodes_file = "nodes.json"
[server]
secret_file = "secrets/server"
allow = ["localhost:7"]
[vpn]
[peers.laptop]
id = "{tox_id}"
"""
ECHO, OTHER_ECHO = 7, 9


class FastClient(Running):
    """`toxvpn -i ID` pinned to the fast road."""

    def __init__(self, lab: Lab, host: Host, name: str, server: str, *forwards: str) -> None:
        self.host = host
        self.log = host.directory / f"{name}.log"
        argv = [*TOXVPN, "-b", str(lab.nodes_json), "-i", server, "--no-share", "--road", "fast", *forwards]
        with self.log.open("wb") as log:
            self.process = host.popen(argv, env=WITH_SECRET, stderr=log)


@dataclass(frozen=True)
class Service:
    """A machine with the running service, and one that is its peer."""

    booted: Booted
    laptop: Machine
    client: FastClient
    tox_id: str

    @property
    def pid(self) -> int:
        return self.booted.main_pid(UNIT)

    def toxvpn(self, *arguments: str) -> str:
        return self.booted.run(*TOXVPN, *arguments).stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.toxvpn("status", "--json"))
        return found

    @property
    def config(self) -> Path:
        return self.booted.root / "etc/toxvpn/config.toml"

    @contextlib.contextmanager
    def configured(self, old: str, new: str) -> Iterator[None]:
        """Change the configuration without asking the service to reload."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))
        try:
            yield
        finally:
            self.config.write_text(text)


def write(booted: Booted, name: str, text: str, mode: int = 0o644) -> None:
    path = booted.root / "etc/toxvpn" / name
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture(scope="module")
def service(_shared_network: Lab) -> Iterator[Service]:
    require(*NEEDED)
    lab = _shared_network
    server, client = lab.host("server"), lab.host("client")
    booted = Booted(server)
    apps.echo_server(server, ECHO)
    apps.echo_server(server, OTHER_ECHO)
    laptop = Machine(lab, client)
    booted.run(*TOXVPN, "service", "install")
    write(booted, "config.toml", CONFIG.format(tox_id=laptop.tox_id))
    write(booted, "nodes.json", lab.nodes_json.read_text())
    write(booted, "secrets/server", SECRET, 0o600)
    booted.start("toxvpn")
    tox_id = booted.run(*TOXVPN, "id").stdout.strip()
    forwards = [f"-L700{port}:localhost:{port}" for port in (ECHO, OTHER_ECHO)]
    running = FastClient(lab, client, "forwards", tox_id, *forwards)
    laptop.start("--peer", tox_id)
    yield Service(booted, laptop, running, tox_id)
    for host in (server, client):
        lab.remove(host)


def echoes(host: Host, port: int) -> bool:
    try:
        with host.connect("127.0.0.1", port, CONNECTING_S) as connection:
            connection.sendall(b"word")
            return connection.recv(4) == b"word"
    except ConnectionResetError:  # it may come before connect() has returned
        return False


def until_echoes(client: FastClient, port: int) -> None:
    """The peer tells that it has the fast road a moment after it has come online."""
    try:
        wait_until(lambda: echoes(client.host, port), "echo", CONNECTING_S, poll_s=0.2)
    except LabError as error:
        raise LabError(f"{error}; the client said:\n{client.log_text()}") from None


def test_it_is_a_user_of_its_own_with_one_capability(service: Service) -> None:
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{service.pid}/status").read_text().splitlines()
    )
    (uid,) = set(status["Uid"].split())
    assert int(uid) in DYNAMIC_USERS
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[kind], 16) == NET_ADMIN, kind
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_a_forward_reaches_what_is_allowed_and_nothing_else(service: Service) -> None:
    """Over the fast road, which the client is pinned to: the sandbox leaves room for the private stack."""
    until_echoes(service.client, 7007)
    assert not echoes(service.laptop.host, 7009)


def test_the_private_stack_is_tuned(service: Service) -> None:
    """/proc/sys is read-only for the service, but for its network part."""
    (helper,) = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    enter = ["nsenter", "-t", helper, "-U", "-n", "--preserve-credentials"]
    fastopen = service.laptop.host.run([*enter, "cat", "/proc/sys/net/ipv4/tcp_fastopen"]).stdout.strip()
    assert int(fastopen) == 0x607


def test_the_vpn_carries_packets(service: Service) -> None:
    service.laptop.wait(service.tox_id[:64])
    ipv6 = service.laptop.sees(bytes.fromhex(service.tox_id[:64]))["ipv6"]
    wait_until(lambda: service.laptop.host.ping(ipv6), "answer to a ping", 20)


def test_systemd_is_told_how_it_stands(service: Service) -> None:
    assert service.booted.property(UNIT, "ActiveState") == "active"

    def line() -> object:
        return re.fullmatch(r"Tox: udp; 2 of 2 peers online", service.booted.property(UNIT, "StatusText"))

    wait_until(line, "status line", CONNECTING_S)


def test_the_journal_has_levels_and_no_secrets(service: Service) -> None:
    records = service.booted.journal(UNIT)
    said = {record["MESSAGE"]: int(record["PRIORITY"]) for record in records}
    assert any(level == 6 and message.startswith("on the other side: ") for message, level in said.items())
    assert all(not message.startswith(("<", "INFO", "toxvpn:")) for message in said)
    assert SECRET not in service.booted.messages(UNIT)


def test_root_controls_it_without_a_word_of_where_it_is(service: Service) -> None:
    status = service.status()
    assert status["tox_id"] == service.tox_id
    assert status["self"]["interface"] == "toxvpn0"


def test_roots_commands_use_its_connections(service: Service) -> None:
    """They have the same identity, which runs as another user here."""
    service.laptop.wait(service.tox_id[:64])
    assert " ms" in service.toxvpn("-i", "laptop", "-p")


def test_a_reload_changes_what_may_be_reached_and_breaks_no_other_stream(service: Service) -> None:
    with service.laptop.host.connect("127.0.0.1", 7007) as old:
        old.settimeout(10)
        old.sendall(b"before")
        assert old.recv(6) == b"before"
        pid = service.pid
        with service.configured("localhost:7", "localhost:*"):
            service.booted.systemctl("reload", "toxvpn")
            assert echoes(service.laptop.host, 7009)
        service.booted.run("kill", "-HUP", service.booted.property(UNIT, "MainPID"))
        until_echoes(service.client, 7007)
        old.sendall(b"after")
        assert old.recv(5) == b"after"
        with service.configured("localhost:7", "localhost:9"):
            service.booted.systemctl("reload", "toxvpn")
            assert echoes(service.laptop.host, 7009) and not echoes(service.laptop.host, 7007)
            with pytest.raises(ConnectionResetError):
                old.recv(1)
        service.booted.systemctl("reload", "toxvpn")
        until_echoes(service.client, 7007)
        assert service.pid == pid


def test_a_reload_of_nonsense_fails_and_ends_nothing(service: Service) -> None:
    pid = service.pid
    with service.configured("[server]", "[sevrer]"):
        assert service.booted.systemctl("reload", "toxvpn", check=False).returncode != 0
    assert "/etc/toxvpn/config.toml: sevrer is unknown" in service.booted.messages(UNIT)
    assert service.pid == pid
    assert echoes(service.laptop.host, 7007), service.client.log_text()


def test_it_starts_again_when_the_loop_hangs_with_the_same_identity(service: Service) -> None:
    """WatchdogSec is 30 s; here there is no time for that."""
    booted, pid = service.booted, service.pid
    folder = booted.root / "run/systemd/system" / f"{UNIT}.d"
    folder.mkdir(parents=True)
    folder.joinpath("quick.conf").write_text("[Service]\nWatchdogSec=1\nRestartSec=0\n")
    booted.systemctl("daemon-reload")
    booted.systemctl("restart", "toxvpn")
    hanging = service.pid
    assert hanging != pid
    service.toxvpn("wait", "--timeout", str(CONNECTING_S))  # for longer than a second it is fed
    assert service.pid == hanging
    os.kill(hanging, signal.SIGSTOP)
    wait_until(lambda: booted.property(UNIT, "NRestarts") == "1", "restart", 20)
    wait_until(lambda: booted.property(UNIT, "ActiveState") == "active", "service", 20)
    assert service.status()["tox_id"] == service.tox_id
    journal = booted.run("journalctl", "-u", UNIT).stdout
    assert "Watchdog timeout" in journal
    assert (
        "changes that an earlier run left in the network" in journal
    )  # the run was killed, and its record kept


def test_what_root_does_while_it_is_stopped_is_not_closed_to_it(service: Service) -> None:
    booted = service.booted
    booted.systemctl("stop", "toxvpn")
    assert booted.property(UNIT, "Result") == "success"
    assert "toxvpn0" not in booted.run("ip", "link").stdout
    service.toxvpn("peer", "add", service.laptop.tox_id, "--name", "other")
    booted.start("toxvpn")
    assert service.status()["tox_id"] == service.tox_id


def test_what_cannot_work_is_not_tried_again_and_again(service: Service) -> None:
    booted = service.booted
    booted.systemctl("stop", "toxvpn")
    with service.configured("[server]", "[sevrer]"):
        assert booted.systemctl("start", "toxvpn", check=False).returncode != 0
        assert booted.property(UNIT, "ActiveState") == "failed"
        assert booted.property(UNIT, "ExecMainStatus") == "78"


def test_a_second_network_by_name_without_any_capability(service: Service) -> None:
    booted = service.booted
    folder = booted.root / "etc/systemd/system/toxvpn@office.service.d"
    folder.mkdir()
    drop_in = SHIPPED.joinpath("forwards-only.conf").read_text()
    folder.joinpath("forwards-only.conf").write_text(drop_in)
    text = '[node]\nnodes_file = "nodes.json"\n[server]\nsecret_file = "secrets/server"\n'
    service.config.with_name("office.toml").write_text(text)
    booted.systemctl("daemon-reload")
    booted.start("toxvpn@office")
    status = Path(f"/proc/{booted.main_pid('toxvpn@office.service')}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    tox_id = booted.run(*TOXVPN, "-C", "/var/lib/toxvpn-office", "id").stdout.strip()
    assert tox_id != service.tox_id
    lab, host = service.laptop.lab, service.laptop.host
    client = FastClient(lab, host, "office", tox_id, "-L7107:localhost:7")
    client.wait_for("listening")
    until_echoes(client, 7107)
    client.stop()


def test_remove_stops_it_and_leaves_the_identity(service: Service) -> None:
    booted = service.booted
    booted.start("toxvpn")
    booted.run(*TOXVPN, "service", "remove")
    assert booted.property(UNIT, "LoadState") == "not-found"
    assert booted.property("toxvpn@office.service", "ActiveState") == "inactive"
    assert service.toxvpn("id").strip() == service.tox_id
