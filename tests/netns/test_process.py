"""Flags about the process, as a user gives them: the background, another user, a pidfile, a proxy."""

import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from pwd import getpwnam

import pytest
from forwards import ONLINE, TOXVPN, USER, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab, apps, wait_until
from lab.apps import listening_ports, wait_listening

ACCOUNT = getpwnam(USER)
PROXY_PORT = 3128
ENDING_S = 10.0
NET_BIND_SERVICE = 1 << 10
NET_ADMIN = 1 << 12
NETWORK_WITH_NAMES = NET_ADMIN | NET_BIND_SERVICE
"""The DNS server of the network is on port 53."""


class Daemon:
    """The outcome of `toxvpn -z -F FILE …`, and what it left behind."""

    def __init__(self, lab: Lab, host: Host, name: str = "daemon") -> None:
        self.lab = lab
        self.host = host
        self.directory = host.directory / name
        self.pid_file = host.directory / f"{name}.pid"

    def start(
        self, *arguments: str, verb: tuple[str, ...] = (), check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        argv = [*TOXVPN, *verb, "-b", str(self.lab.nodes_json), "-z", "-F", str(self.pid_file), *arguments]
        return self.host.run(argv, check=check, cwd=self.host.directory, env=WITH_SECRET)

    def serve(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self.start("-C", str(self.directory), *arguments, check=check)

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    @property
    def status(self) -> dict[str, str]:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        descriptor = os.pidfd_open(self.pid)
        signal.pidfd_send_signal(descriptor, how)
        try:
            assert select.select([descriptor], [], [], ENDING_S)[0], "the daemon does not end"
        finally:
            os.close(descriptor)


@pytest.fixture
def alone(lab: Lab) -> Iterator[Daemon]:
    """On a host without a Tox network: starting and ending take none."""
    host = lab.host("alone")
    nodes = '{"nodes": [{"ipv4": "198.51.100.1", "port": 33445, "public_key": "%s"}]}' % ("0" * 64)
    lab.nodes_json.write_text(nodes)
    yield Daemon(lab, host)


def test_a_server_in_the_background(alone: Daemon) -> None:
    ran = alone.serve()
    tox_id = ran.stdout.strip()
    assert len(tox_id) == 76
    assert os.getsid(alone.pid) == alone.pid
    assert Path(f"/proc/{alone.pid}/cwd").readlink() == Path("/")
    outside = {Path(f"/proc/{alone.pid}/fd/{number}").readlink() for number in range(3)}
    assert outside == {Path("/dev/null")}
    asked = alone.host.run([*TOXVPN, "-C", str(alone.directory), "status"])
    assert tox_id in asked.stdout
    alone.end()
    assert not alone.pid_file.exists()
    assert not alone.directory.joinpath("control.sock").exists()


def test_started_twice_by_pidfile_or_by_identity(alone: Daemon) -> None:
    alone.serve()
    pid = alone.pid
    second = alone.serve(check=False)
    assert second.returncode == 1 and f"a toxvpn that is running, process {pid}: stop it" in second.stderr
    alone.pid_file = alone.pid_file.with_name("other.pid")
    second = alone.serve(check=False)
    assert second.returncode == 1 and f"is in use by process {pid}; stop that one" in second.stderr
    assert not alone.pid_file.exists()
    alone.pid_file = alone.pid_file.with_name("daemon.pid")
    assert alone.pid == pid
    alone.end()


def test_a_killed_daemon_is_no_obstacle_to_the_next(alone: Daemon) -> None:
    first = alone.serve().stdout
    before = alone.pid
    alone.end(signal.SIGKILL)
    assert alone.pid == before
    assert alone.serve().stdout == first
    assert alone.pid != before
    alone.end()


def test_down_ends_it_and_takes_the_pidfile_away(alone: Daemon) -> None:
    alone.serve()
    alone.host.run([*TOXVPN, "-C", str(alone.directory), "down"])
    wait_until(lambda: not alone.pid_file.exists(), "end of the pidfile")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("-b", "missing.json"), 78, "cannot read"),
        (("-f", "missing.rules"), 78, "missing.rules"),
        (("-t", "7"), 1, "no port could be bound"),
        (("-U", "no-such-user"), 2, "there is no such user"),
        (("-F", "nowhere/pid"), 1, "nowhere/pid: No such file or directory"),
    ],
)
def test_an_error_reaches_the_terminal_and_the_exit_code(
    alone: Daemon, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """Relative paths are relative to where it was typed, though the daemon goes to /."""
    apps.echo_server(alone.host, 7)
    ran = alone.serve(*arguments, check=False)
    assert ran.returncode == code, ran.stderr
    *others, line = ran.stderr.splitlines()
    assert line.startswith("toxvpn: ") and message in line
    assert all(line.startswith("WARNING: no syslog") for line in others)
    assert not alone.pid_file.exists()


def test_relative_paths_are_those_of_the_shell(alone: Daemon) -> None:
    alone.pid_file = Path("own.pid")
    alone.host.directory.joinpath("rules").write_text("localhost:22\n")
    alone.start("-C", "own", "-I", "own.id", "-f", "rules")
    alone.pid_file = alone.host.directory / "own.pid"
    assert alone.host.directory.joinpath("own/tox_save").exists()
    assert len(alone.host.directory.joinpath("own.id").read_text()) == 77
    os.kill(alone.pid, signal.SIGHUP)  # the rules are found again
    alone.end()


# -- root without -U --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "rights"),
    [
        ((), 0),
        (("up",), NETWORK_WITH_NAMES),
        (("up", "--name", ""), NET_ADMIN),
        (("run", "--config", "own.toml"), NETWORK_WITH_NAMES),
    ],
)
def test_root_keeps_what_the_run_needs(alone: Daemon, verb: tuple[str, ...], rights: int) -> None:
    """On the way back, too: the network is as it was, and what is saved is saved."""
    alone.host.directory.joinpath("own.toml").write_text("[server]\n[vpn]\n")
    alone.start("-C", str(alone.directory), verb=verb)
    for task in Path(f"/proc/{alone.pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
        assert status["Uid"].split() == ["0"] * 4
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == rights
        assert status["NoNewPrivs"] == "1"
    links = alone.host.run(["ip", "-br", "link"]).stdout
    assert ("toxvpn0" in links) is bool(rights & NET_ADMIN)
    alone.host.run([*TOXVPN, "-C", str(alone.directory), "peer", "add", "0" * 64, "--name", "p"], check=False)
    alone.end()
    assert "toxvpn0" not in alone.host.run(["ip", "-br", "link"]).stdout
    assert not alone.pid_file.exists()
    assert not alone.directory.joinpath("network.journal").exists()


# -- -U ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [USER, str(ACCOUNT.pw_uid)])
def test_nothing_of_root_is_left(alone: Daemon, user: str) -> None:
    alone.serve("-U", user)
    status = alone.status
    assert status["Uid"].split() == [str(ACCOUNT.pw_uid)] * 4
    assert status["Gid"].split() == [str(ACCOUNT.pw_gid)] * 4
    assert set(map(int, status["Groups"].split())) == set(os.getgrouplist(USER, ACCOUNT.pw_gid))
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1"
    assert alone.directory.stat().st_uid == ACCOUNT.pw_uid
    assert alone.directory.joinpath("tox_save").stat().st_uid == ACCOUNT.pw_uid
    alone.end()
    assert not alone.pid_file.exists() or not alone.pid_file.read_text()
    alone.serve("-U", user)
    alone.end()


def test_the_vpn_keeps_the_rights_that_it_needs(alone: Daemon) -> None:
    alone.start("-C", str(alone.directory), "-U", USER, verb=("up",))
    assert int(alone.status["CapEff"], 16) == int(alone.status["CapPrm"], 16) == NETWORK_WITH_NAMES
    assert alone.status["Uid"].split() == [str(ACCOUNT.pw_uid)] * 4
    assert "toxvpn0" in alone.host.run(["ip", "-br", "link"]).stdout
    alone.end()
    assert "toxvpn0" not in alone.host.run(["ip", "-br", "link"]).stdout


@pytest.mark.parametrize(
    ("config", "rights"),
    [
        ("[server]\n", 0),
        ("[vpn]\n", NETWORK_WITH_NAMES),
        ('[vpn]\nname = ""\n', NET_ADMIN),
        ('[[forwards]]\npeer = "p"\nlisten = "80"\ntarget = "localhost:80"\n', NET_BIND_SERVICE),
    ],
)
def test_a_run_keeps_what_its_configuration_needs(alone: Daemon, config: str, rights: int) -> None:
    path = alone.host.directory / "config.toml"
    path.write_text(f'[peers.p]\nid = "{"0" * 76}"\n{config}')
    alone.start("-C", str(alone.directory), "-U", USER, "--config", str(path), verb=("run",))
    assert int(alone.status["CapEff"], 16) == rights
    alone.end()


def test_a_client_may_listen_on_a_low_port_as_an_ordinary_user(alone: Daemon) -> None:
    alone.start("-i", "0" * 76, "-L80:localhost:80", "-U", USER)
    assert int(alone.status["CapEff"], 16) == NET_BIND_SERVICE
    alone.host.connect("127.0.0.1", 80).close()
    alone.end()


def test_a_directory_that_is_roots_is_not_given_away(alone: Daemon) -> None:
    alone.directory.mkdir(mode=0o700)
    ran = alone.serve("-U", USER, check=False)
    assert ran.returncode == 77
    assert (
        f"-U {USER}: {alone.directory} belongs to another user: run chown -R {USER} {alone.directory}"
        in ran.stderr
    )


# -- on the network ---------------------------------------------------------------------------------


def test_a_pair_of_daemons_forwards_and_stops(tox_network: Lab) -> None:
    there, here = tox_network.host("there"), tox_network.host("here")
    apps.echo_server(there, 7)
    server = Daemon(tox_network, there)
    tox_id = server.serve("-U", USER).stdout.strip()
    client = Daemon(tox_network, here)
    client.start("-i", tox_id, "-L7007:localhost:7", "-U", USER)
    with here.connect("127.0.0.1", 7007) as connection:
        connection.settimeout(45)
        connection.sendall(b"word")
        assert connection.recv(4) == b"word"
    client.end()
    server.end()


def test_the_ports_the_id_file_and_the_ping(tox_network: Lab) -> None:
    there, here = tox_network.host("there"), tox_network.host("here")
    directory = private_directory(there, "ports")
    flags = ["-u", "20001:20005", "-t", "3389", "-I", str(directory / "id")]
    server = Server(tox_network, there, directory, *flags, env=WITH_SECRET)
    assert server.tox_id, server.log_text()
    assert directory.joinpath("id").read_text().strip() == server.tox_id
    wait_listening(server.process, 3389)
    bound = {int(line.split()[1].rpartition(":")[2], 16) for line in udp_sockets(server.process.pid)}
    assert bound & set(range(20001, 20006))
    ping = here.run(
        [*TOXVPN, "-b", str(tox_network.nodes_json), "-i", server.tox_id, "-p", "-I", "own.id", "-q"],
        cwd=here.directory,
        env=WITH_SECRET,
        timeout_s=90,
    )
    assert re.fullmatch(r"pong from [0-9A-F]{8} via (udp|tcp-relay) in \d+\.\d\d ms\n", ping.stdout)
    assert len(here.directory.joinpath("own.id").read_text()) == 77
    server.stop()
    server = Server(tox_network, there, directory, "-t", "0", "-q", env=WITH_SECRET)
    assert not listening_ports(server.process.pid) and not server.log_text()


@pytest.mark.parametrize("kind", ["socks5", "http"])
def test_all_goes_through_the_proxy(tox_network: Lab, kind: str) -> None:
    """The client can reach the proxy and nothing else; its system's resolver would be asked in vain."""
    there, gateway = tox_network.host("there"), tox_network.host("gateway")
    here = tox_network.host("here", internet=False)
    link = tox_network.link(here, gateway)
    apps.echo_server(there, 7)
    proxy = apps.proxy(gateway, PROXY_PORT)
    server = Server(tox_network, there, private_directory(there, kind), env=WITH_SECRET)
    where = f"{kind}://{link.b_ipv4}:{PROXY_PORT}"
    flags, env = (["--proxy", where], {}) if kind == "socks5" else ([], {"ALL_PROXY": where})
    client = Client(
        tox_network, here, kind, server.tox_id, "-L7007:localhost:7", *flags, env=WITH_SECRET | env
    )
    assert client.wait_for(ONLINE)[1] == "tcp-relay"
    with here.connect("127.0.0.1", 7007) as connection:
        connection.settimeout(45)
        connection.sendall(b"word")
        assert connection.recv(4) == b"word"
    assert not udp_sockets(client.process.pid)
    gateway.stop(proxy)


def udp_sockets(pid: int) -> list[str]:
    """The UDP sockets of that process alone."""
    inodes = {
        str(link.readlink())[8:-1]
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if str(link.readlink()).startswith("socket:")
    }
    lines = [
        line
        for name in ("udp", "udp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return [line for line in lines if line.split()[9] in inodes]
