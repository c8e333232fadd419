"""Commands of one user to one server, on one node: real toxcore, an sshd, and a user of no privileges."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pwd import getpwnam

import pytest
from forwards import SECRET, TOXVPN, USER, WITH_SECRET, Server, private_directory

from lab import Host, Lab, apps, wait_until
from lab.require import require

OTHER_USER = "daemon"
ECHO = ("-P", f"localhost:{apps.ECHO_PORT}")
NODE = "toxvpn-shared"
ENDING_S = 10.0


@dataclass(frozen=True)
class Scene:
    lab: Lab
    laptop: Host
    server: Server
    sshd: apps.Sshd
    home: Path  # the user's, on the laptop
    key: Path
    env_secret: Mapping[str, str]

    @property
    def env(self) -> dict[str, str]:
        return {**self.env_secret, "XDG_RUNTIME_DIR": str(self.home), "XDG_DATA_HOME": str(self.home)}

    @property
    def sockets(self) -> list[Path]:
        return list((self.home / "toxvpn" / "shared").glob("*.sock"))

    def argv(self, *arguments: str) -> list[str]:
        return [*TOXVPN, "-b", str(self.lab.nodes_json), *arguments]

    def call(self, *arguments: str) -> list[str]:
        return self.argv("-i", self.server.tox_id, *arguments)

    def run(self, argv: Sequence[str], input: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.laptop.run(argv, user=USER, env=self.env, input=input, check=False, timeout_s=90)

    def echoes(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        ran = self.run(self.call(*arguments, *ECHO), "hello")
        assert (ran.returncode, ran.stdout) == (0, "hello"), ran.stderr
        return ran

    @property
    def key_options(self) -> list[str]:
        known = [f"-oUserKnownHostsFile={self.home}/known_hosts", "-oStrictHostKeyChecking=accept-new"]
        return ["-i", str(self.key), *known]

    def ssh(self, destination: str, *words: str) -> str:
        """The output of the command."""
        ran = self.run(self.argv("ssh", "-F", "none", "-q", *self.key_options, f"root@{destination}", *words))
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def nodes(self) -> set[int]:
        """The processes that are shared nodes on the laptop."""
        network = Path("/run/netns", self.laptop.namespace.name).stat().st_ino
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                name, inode = process.joinpath("comm").read_text(), process.joinpath("ns/net").stat().st_ino
            except OSError:  # it has ended
                continue
            if (name.strip(), inode) == (NODE, network):
                found.add(int(process.name))
        return found

    @property
    def node(self) -> int:
        """The only one; the first test that asks starts it."""
        if not self.nodes():
            self.echoes()
        (pid,) = self.nodes()
        return pid


@pytest.fixture(scope="module")
def scene(_shared_network: Lab) -> Iterator[Scene]:
    require("sshd", "ssh", "ssh-keygen", "scp", "git")
    lab = _shared_network
    hosts = lab.host("sharing"), lab.host("sharer")
    sshd = apps.sshd(hosts[0])
    apps.echo_server(hosts[0])
    directory = private_directory(hosts[0], "toxvpn")
    server = Server(lab, hosts[0], directory, "--allow-speed", env=WITH_SECRET)
    home = private_directory(hosts[1], "home")
    key = home / "key"
    key.write_bytes(sshd.client_key.read_bytes())
    key.chmod(0o600)
    os.chown(key, getpwnam(USER).pw_uid, getpwnam(USER).pw_gid)
    scene = Scene(lab, hosts[1], server, sshd, home, key, WITH_SECRET)
    for words in (("add", server.tox_id), ("name", server.tox_id[:8], "box")):
        assert scene.run(scene.argv("peer", *words)).returncode == 0
    yield scene
    for host in hosts:
        lab.remove(host)


def show(what: str, began_s: float) -> None:
    """Printed with `pytest -s`; bench/share.py measures properly."""
    print(f"{what}: {(time.monotonic() - began_s) * 1000:.0f} ms")  # noqa: T201


def test_first_commands_at_once_start_one_node(scene: Scene) -> None:
    began_s = time.monotonic()
    pipe = subprocess.PIPE
    commands = [
        scene.laptop.popen(scene.call(*ECHO), user=USER, env=scene.env, stdin=pipe, stdout=pipe, stderr=pipe)
        for _ in range(4)
    ]
    for number, command in enumerate(commands):
        said, complaints = command.communicate(b"%d" % number, 90)
        assert (command.returncode, said) == (0, b"%d" % number), complaints
    show("four first connections", began_s)
    assert len(scene.nodes()) == len(scene.sockets) == 1


def test_the_second_connection_uses_it(scene: Scene) -> None:
    node = scene.node
    began_s = time.monotonic()
    ran = scene.echoes("-d")
    show("second connection, start to end", began_s)
    assert "(a node that runs already)" in ran.stderr
    assert scene.node == node


def test_the_speed_is_measured_on_it_also_after_a_test_that_was_broken_off(scene: Scene) -> None:
    node = scene.node
    speed = scene.argv("speed", scene.server.tox_id, "--json", "--time")
    broken_off = scene.laptop.popen([*speed, "30"], user=USER, env=scene.env, stdout=subprocess.PIPE)
    scene.server.wait_for("a speed test of 30 s")
    broken_off.send_signal(signal.SIGINT)
    assert (broken_off.communicate(timeout=ENDING_S)[0], broken_off.returncode) == (b"", 128 + signal.SIGINT)
    ran = scene.run([*speed, "1"])
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert (result["path"], result["road"]) == ("udp", "fast")
    for direction in (result["down"], result["up"]):
        assert direction["bits_per_second"] > 1_000_000
        assert 0 < direction["rtt_p50_seconds"] < 1
        assert direction["tcp_segments"] > 0
    assert scene.node == node


def test_ssh(scene: Scene) -> None:
    node = scene.node
    for _ in range(2):
        began_s = time.monotonic()
        assert scene.ssh(scene.server.tox_id, "echo", "here") == "here\n"
        show("ssh, start to end", began_s)
    assert scene.node == node


def test_ssh_knows_a_peer_by_name_and_its_host_key_by_its_key(scene: Scene) -> None:
    assert scene.ssh("box", "echo", "here") == "here\n"
    known = (scene.home / "known_hosts").read_text().splitlines()
    alias = f"toxvpn-{scene.server.tox_id[:16].lower()}"
    assert {line.split()[0] for line in known} == {alias}
    assert len(scene.nodes()) == 1


def test_ssh_shares_its_own_connection(scene: Scene) -> None:
    """The name of its socket is as long as a path may be that people have in ~/.ssh/config, and no longer."""
    control = [f"-oControlPath={scene.home}/%r@%h:%p", "-oControlMaster=auto", "-oControlPersist=30"]
    argv = scene.argv("ssh", "-F", "none", "-q", *scene.key_options, *control, f"root@{scene.server.tox_id}")
    for _ in range(2):
        ran = scene.run([*argv, "echo here"])
        assert (ran.returncode, ran.stdout) == (0, "here\n"), ran.stderr
    assert [path.name for path in scene.home.glob("root@*")] == [
        f"root@{scene.server.tox_id[:16].lower()}:22"
    ]
    assert scene.run([*argv, "-Oexit"]).returncode == 0


def test_ssh_ends_as_what_it_ran(scene: Scene) -> None:
    argv = scene.argv("ssh", "-F", "none", "-q", *scene.key_options, f"root@{scene.server.tox_id}", "exit 42")
    assert scene.run(argv).returncode == 42


def test_git_takes_it_for_ssh(scene: Scene) -> None:
    """It asks what kind of ssh that is (`-G`), and believes it."""
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    origin = scene.lab.hosts["sharing"].directory / "origin"
    subprocess.run([*git, "init", "-q", origin], check=True)
    subprocess.run([*git, "-C", origin, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    ssh = shlex.join(scene.argv("ssh", "-F", "none", "-q", *scene.key_options))
    copy = scene.home / "copy"
    argv = ["git", "clone", "-q", f"root@box:{origin}", str(copy)]
    ran = scene.laptop.run(argv, user=USER, env={**scene.env, "GIT_SSH_COMMAND": ssh}, timeout_s=60)
    assert ran.stderr == "" and (copy / ".git" / "HEAD").exists()


def test_scp_by_a_host_section(scene: Scene) -> None:
    """The recipe of docs/forwards.md."""
    proxy = shlex.join(scene.argv("-i", "%n", "-P", "localhost:%p"))
    config = scene.home / "config"
    config.write_text(f"Host box\n    ProxyCommand {proxy}\n")
    (scene.home / "file").write_text("copied")
    target = scene.lab.hosts["sharing"].directory / "copied"
    argv = [
        "scp",
        "-F",
        str(config),
        "-q",
        *scene.key_options,
        str(scene.home / "file"),
        f"root@box:{target}",
    ]
    ran = scene.run(argv)
    assert ran.returncode == 0, ran.stderr
    assert target.read_text() == "copied"


def test_listeners_use_it_too(scene: Scene) -> None:
    node = scene.node
    log = scene.laptop.directory / "listening.log"
    began_s = time.monotonic()
    with log.open("wb") as said:
        command = scene.laptop.popen(
            scene.call("-L", "7007:localhost:7"), user=USER, env=scene.env, stderr=said
        )
    wait_until(lambda: "listening" in log.read_text(), "the listener")
    with scene.laptop.connect("127.0.0.1", 7007) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        show("-L, start to first byte", began_s)
        assert re.search(r"peer (box \()?[0-9A-F]{8}\)?: udp", log.read_text())
        scene.laptop.stop(command)
        assert command.returncode == 128 + signal.SIGTERM
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert scene.node == node


def test_no_share_is_a_connection_of_its_own(scene: Scene) -> None:
    node = scene.node
    ran = scene.echoes("-d", "--no-share")
    assert "no shared node: --no-share" in ran.stderr and "runs already" not in ran.stderr
    assert scene.node == node


def test_it_shows_nobody_whom_it_calls_and_with_which_secret(scene: Scene) -> None:
    process = Path("/proc", str(scene.node))
    shown = process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
    assert SECRET.encode() not in shown and scene.server.tox_id.encode() not in shown
    assert scene.server.tox_id[:8].lower() not in scene.sockets[0].name


CONNECT = """
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
    sock.connect(sys.argv[1])
"""


def test_another_user_is_kept_out(scene: Scene) -> None:
    node, (path,) = scene.node, scene.sockets
    argv = [sys.executable, "-c", CONNECT, str(path)]
    ran = scene.laptop.run(argv, user=OTHER_USER, check=False)
    assert "PermissionError" in ran.stderr
    ran = scene.laptop.run(
        scene.call("-d", *ECHO), user=OTHER_USER, env=scene.env, input="hello", timeout_s=90
    )
    assert ran.stdout == "hello" and "no shared node: " in ran.stderr
    assert scene.node == node


def test_one_that_was_killed_is_replaced(scene: Scene) -> None:
    node = scene.node
    os.kill(node, signal.SIGKILL)
    wait_until(lambda: not scene.nodes(), "the end of the node")
    assert len(scene.sockets) == 1
    scene.echoes()
    assert scene.node != node and len(scene.sockets) == 1


def test_a_stream_that_it_carried_is_lost_with_it(scene: Scene) -> None:
    pipe = subprocess.PIPE
    command = scene.laptop.popen(
        scene.call(*ECHO), user=USER, env=scene.env, stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert command.stdin and command.stdout and command.stderr
    command.stdin.write(b"x")
    command.stdin.flush()
    assert command.stdout.read(1) == b"x"
    os.kill(scene.node, signal.SIGTERM)
    assert command.wait(ENDING_S) == 255
    assert b"was stopped" in command.stderr.read()
    wait_until(lambda: not scene.nodes() and not scene.sockets, "an orderly end", ENDING_S)


def test_two_commands_may_have_one_kept_identity(scene: Scene) -> None:
    kept = private_directory(scene.laptop, "kept")
    for _ in range(2):
        scene.echoes("-C", str(kept))
    assert len(scene.nodes()) == 1
    printed = scene.run(scene.argv("-C", str(kept), "status"))
    assert printed.returncode == 0 and printed.stdout.startswith("toxvpn client")
    assert scene.run(scene.argv("-C", str(kept), "down")).returncode == 0
    wait_until(lambda: not scene.nodes(), "the end of the node", ENDING_S)
    scene.echoes("-C", str(kept))


def test_a_kept_identity_goes_on_to_another_node_at_once(scene: Scene) -> None:
    """And to who changes what is kept; but not from a command that runs."""
    kept = private_directory(scene.laptop, "wanted")
    scene.echoes("-C", str(kept))
    scene.echoes("-C", str(kept), "--road", "tuntox")
    add = scene.argv("-C", str(kept), "peer", "add", scene.server.tox_id, "--name", "box")
    added = scene.run(add)
    assert (added.returncode, "saved" in added.stderr) == (0, True), added.stderr
    using = scene.laptop.popen(
        scene.call("-C", str(kept), *ECHO),
        user=USER,
        env=scene.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert using.stdin and using.stdout
    using.stdin.write(b"hello")
    using.stdin.flush()
    assert using.stdout.read(5) == b"hello"
    assert "uses this identity now" in scene.run(add).stderr
    listed = scene.run(scene.argv("-C", str(kept), "peer", "list")).stdout
    assert "box" in listed
    scene.laptop.stop(using)


def test_an_invite_lets_this_machine_in_for_good(scene: Scene) -> None:
    """Without a secret: it is the kept identity that the server knows from then on."""
    directory = scene.lab.hosts["sharing"].directory / "toxvpn"
    invite = [*TOXVPN, "-C", str(directory), "invite", "--no-qr"]
    token = scene.lab.hosts["sharing"].run(invite, user=USER).stdout.strip()
    guest = replace(scene, home=private_directory(scene.laptop, "guest"), env_secret={})
    assert guest.ssh(token, "echo", "here") == "here\n"
    assert guest.run(guest.argv("down")).returncode == 0
    assert guest.run(guest.argv("peer", "name", scene.server.tox_id[:8], "box")).returncode == 0
    assert guest.ssh("box", "echo", "again") == "again\n"
