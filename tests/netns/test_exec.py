"""`toxvpn exec`: a command of an ordinary user's in a network without root; the peer has root's VPN."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from forwards import TOXVPN
from vpns import STARTING_S, Machine

from lab import Host, Lab, wait_until

USER, UID = "daemon", 1
"""Not nobody, as which IDs without a mapping are shown."""
WEB_PORT = 8007
LARGE_BYTES = 20_000_000
FETCH = "import sys, urllib.request as r; sys.stdout.buffer.write(r.urlopen(sys.argv[1], timeout=10).read())"


@dataclass(frozen=True)
class Scene:
    """`box` has root's VPN, and a web server on it; `laptop` has a user, whose toxvpn keeps all in `home`."""

    lab: Lab
    box: Machine
    laptop: Host
    home: Path

    def argv(self, *arguments: str) -> list[str]:
        return [*TOXVPN, "-b", str(self.lab.nodes_json), "-C", str(self.home), *arguments]

    def toxvpn(
        self, *arguments: str, check: bool = True, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.laptop.run(self.argv(*arguments), user=USER, check=check, input=input, timeout_s=60)

    def exec(self, *words: str, **arguments: bool | str) -> str:
        """What the command prints."""
        return self.toxvpn("exec", "--", *words, **arguments).stdout  # type: ignore[arg-type]

    def owner(self) -> int:
        owner: int = json.loads(self.toxvpn("status", "--json").stdout)["self"]["namespace_owner"]
        return owner

    def has_ended(self) -> bool:
        return self.toxvpn("status", check=False).returncode == 3


@pytest.fixture(scope="module")
def scene(_shared_network: Lab) -> Iterator[Scene]:
    lab = _shared_network
    box, laptop = Machine(lab, lab.host("box")), lab.host("laptop")
    home = laptop.directory / "home"
    home.mkdir(0o700)
    os.chown(home, UID, UID)
    made = Scene(lab, box, laptop, home)
    box.start("--peer", made.toxvpn("id").stdout.strip())
    made.toxvpn("peer", "add", box.tox_id, "--name", "box")
    (box.host.directory / "large").write_bytes(bytes(LARGE_BYTES))
    web = ["python3", "-m", "http.server", "--bind", "::", "-d", str(box.host.directory), str(WEB_PORT)]
    box.host.popen(web, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield made
    made.toxvpn("down")
    box.stop()
    for host in (box.host, laptop):
        lab.remove(host)


@pytest.fixture
def network(scene: Scene) -> Scene:
    """With `up --user` in the background, which stays for the next test."""
    if scene.has_ended():
        scene.toxvpn("up", "--user", "-z", "-F", str(scene.home / "pid"))
        scene.toxvpn("wait", "--timeout", "45", "box")
    return scene


def test_a_command_has_a_network_for_its_time(scene: Scene) -> None:
    """Its first packet arrives: it was waited for. Its exit code is ours, and nothing stays."""
    words = f"id -u; ping -c1 -W5 {scene.box.ipv6} && ping -c1 -w10 {scene.box.ipv4}; exit 7"
    ran = scene.toxvpn("exec", "--peer", "box", "--", "sh", "-c", words, check=False)
    assert (ran.returncode, ran.stderr) == (7, ""), ran
    assert ran.stdout.startswith(f"{UID}\n") and ran.stdout.count(" 1 received, ") == 2
    wait_until(scene.has_ended, "the end of the network")
    assert not list(scene.home.glob("*.sock")) and not (scene.home / "resolv.conf").exists()


def test_commands_share_the_network_of_the_first(scene: Scene) -> None:
    argv = scene.argv("exec", "--peer", "box", "--", "sh", "-c", "echo here; read until_told")
    first = scene.laptop.popen(argv, user=USER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout is not None and first.stdout.readline() == b"here\n"
    argv[-1] = "echo here too; read until_told"
    second = scene.laptop.popen(argv, user=USER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert second.stdout is not None and second.stdout.readline() == b"here too\n"
    first.communicate(b"go\n", STARTING_S)
    assert "1 received" in scene.exec("ping", "-c1", "-w10", scene.box.ipv6), "it lasts for the second"
    second.communicate(b"go\n", STARTING_S)
    wait_until(scene.has_ended, "the end of the network")


def test_tcp_and_nothing_beyond_the_peers(network: Scene) -> None:
    url = f"http://[{network.box.ipv6}]:{WEB_PORT}/large"
    assert len(network.exec("/usr/bin/python3", "-c", FETCH, url)) == LARGE_BYTES
    assert network.box.host.ipv4 is not None
    assert network.laptop.ping(network.box.host.ipv4), "this machine itself reaches that address"
    beyond = network.toxvpn("exec", "ping", "-c1", "-W1", network.box.host.ipv4, check=False)
    assert beyond.returncode != 0 and "unreachable" in beyond.stdout + beyond.stderr
    links = json.loads(network.exec("ip", "-j", "link"))
    assert {each["ifname"] for each in links} == {"lo", "toxvpn0"}


def test_peers_have_names(network: Scene) -> None:
    """Those of the network alone."""
    addresses = network.exec("getent", "ahosts", "box").split()
    assert network.box.ipv4 in addresses and network.box.ipv6 in addresses
    assert " 1 received" in network.exec("ping", "-c1", "-w10", "box.tox.internal")
    assert network.exec("getent", "hosts", "example.org", check=False) == ""
    assert network.exec("cat", "/etc/resolv.conf") == "nameserver 127.0.0.1\nsearch tox.internal\n"


def test_the_peer_reaches_a_server_in_it(network: Scene) -> None:
    """The other way round, by UDP."""
    bound = "import socket; s = socket.socket(10, 2); s.bind(('::', 9009)); print('up', flush=True)"
    argv = network.argv("exec", "--", "/usr/bin/python3", "-c", f"{bound}; s.sendto(*s.recvfrom(99))")
    running = network.laptop.popen(argv, user=USER, stdout=subprocess.PIPE)
    assert running.stdout is not None and running.stdout.readline() == b"up\n"
    address = json.loads(network.toxvpn("status", "--json").stdout)["self"]["ipv6"]
    with network.box.host.socket(10, 2) as sock:
        sock.settimeout(10)
        sock.sendto(b"hello", (address, 9009))
        assert sock.recv(99) == b"hello"
    assert running.wait(STARTING_S) == 0


def test_it_is_as_if_the_command_had_been_started_itself(network: Scene) -> None:
    assert network.exec("cat", input="through\n") == "through\n"
    assert network.exec("pwd") == f"{Path.cwd()}\n"
    assert network.exec("sh", "-c", "ls /proc/self/fd | wc -l") == "4\n", "0, 1, 2 and that of ls"
    for signals in ("SIGPIPE", "SIGINT"):
        number = getattr(signal, signals)
        ran = network.toxvpn("exec", "sh", "-c", f"kill -{number.value} $$", check=False)
        assert ran.returncode in (-number, 128 + number), signals
    again = [*network.argv("exec", "--", "id", "-u")]
    assert network.exec(*again) == f"{UID}\n", "inside, exec has nothing to do"
    typed = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))"
    words = network.argv("exec", "--", "sh", "-c", "tty; ps -o tpgid= -p $$")
    shown = network.laptop.run(["/usr/bin/python3", "-c", typed, *words], user=USER).stdout.split()
    assert shown[0].startswith("/dev/pts/") and int(shown[1]) > 0


def test_a_signal_reaches_the_command(network: Scene) -> None:
    """The process that was started is the command."""
    running = network.laptop.popen(
        network.argv(
            "exec", "--", "sh", "-c", "trap 'echo caught; exit 4' TERM; echo up; while :; do sleep 0.1; done"
        ),
        user=USER,
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None and running.stdout.readline() == b"up\n"
    running.send_signal(signal.SIGTERM)
    assert running.communicate(timeout=STARTING_S)[0] == b"caught\n"
    assert running.returncode == 4


def test_the_network_of_a_session(network: Scene) -> None:
    """`up --user` is a run like others: status, pidfile, up again, down; and its end ends no command."""
    status = network.toxvpn("status").stdout
    assert "toxvpn exec" in status and "box" in status
    daemon = int((network.home / "pid").read_text())
    assert Path(f"/proc/{daemon}").stat().st_uid == UID
    assert "up already" in network.toxvpn("up", "--user").stderr
    argv = network.argv("exec", "--", "sh", "-c", "echo here; read until_told; echo still")
    running = network.laptop.popen(argv, user=USER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdout is not None and running.stdout.readline() == b"here\n"
    network.toxvpn("down")
    assert running.communicate(b"go\n", STARTING_S)[0] == b"still\n"


def test_root_is_root_in_it(scene: Scene) -> None:
    """The run itself has no right left."""
    home = scene.laptop.directory / "root"
    argv = [*TOXVPN, "-b", str(scene.lab.nodes_json), "-C", str(home)]
    scene.laptop.run([*argv, "up", "--user", "-z", "-F", str(home.with_suffix(".pid"))])
    assert scene.laptop.run([*argv, "exec", "id", "-u"]).stdout == "0\n"
    run = Path("/proc", home.with_suffix(".pid").read_text().strip(), "status").read_text()
    assert "CapPrm:\t0000000000000000" in run
    scene.laptop.run([*argv, "down"])


@pytest.mark.skipif(shutil.which("pasta") is None, reason="needs passt")
def test_the_internet_if_asked_for_and_nothing_of_it_after_a_kill(scene: Scene) -> None:
    scene.toxvpn("down")
    pid_file = scene.home / "pid"
    scene.toxvpn("up", "--user", "--internet", "-z", "-F", str(pid_file))
    beyond = f"http://{scene.box.host.ipv4}:{WEB_PORT}/"
    assert "large" in scene.exec("/usr/bin/python3", "-c", FETCH, beyond)
    scene.toxvpn("wait", "--timeout", "45", "box")
    assert "large" in scene.exec("/usr/bin/python3", "-c", FETCH, f"http://[{scene.box.ipv6}]:{WEB_PORT}/")
    owner = scene.owner()
    scene.laptop.run(["kill", "-9", pid_file.read_text().strip()])
    wait_until(lambda: not left_of(owner), "the end of pasta and of the namespace's owner")
    assert scene.toxvpn("exec", "--internet", "true").returncode == 0, "a new one takes its place"


def left_of(owner: int) -> list[str]:
    """The processes of the network that `owner` owned."""
    found = subprocess.run(["pgrep", "-f", f"pasta .* {owner}$"], stdout=subprocess.PIPE, text=True)
    return [*found.stdout.split(), *([str(owner)] if Path(f"/proc/{owner}").exists() else [])]


def test_the_owner_of_the_namespace_is_killed(network: Scene) -> None:
    network.laptop.run(["kill", "-9", str(network.owner())])
    wait_until(network.has_ended, "the end of the network")
