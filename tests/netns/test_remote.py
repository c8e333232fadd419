"""The server listens and the client connects (-R): unprivileged toxvpn with real Tox, on both roads."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forwards import TOXVPN, USER, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab, apps, wait_until

HERE = "127.0.0.1"
PORT = 7300
BUSY = 7301
ALLOWED = "localhost:*,10.255.0.1:7302,*:7303"
ECHO = f"localhost:{apps.ECHO_PORT}"
LISTENING = r"listening: (.*) of peer"


class Scene:
    """A server that listens for who has the secret, and a laptop with an echo server."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.box, self.laptop = lab.host("box"), lab.host("laptop")
        apps.echo_server(self.laptop)
        self.directory = private_directory(self.box, "toxvpn")
        self.kept = private_directory(self.laptop, "kept")
        self.server = self.start_server()

    def start_server(self) -> Server:
        return Server(self.lab, self.box, self.directory, "--allow-listen", ALLOWED, env=WITH_SECRET)

    def client(self, name: str, *arguments: str, road: str = "auto") -> Client:
        """One that keeps its identity."""
        given = ("-C", str(self.kept), *arguments)
        return Client(self.lab, self.laptop, name, self.server.tox_id, *given, road=road, env=WITH_SECRET)

    def refusal(self, *arguments: str) -> str:
        """The line of a command that ends with 1."""
        argv = [*TOXVPN, "-b", str(self.lab.nodes_json), "-i", self.server.tox_id, "-q", *arguments]
        ran = self.laptop.run(argv, user=USER, env=self.env, check=False, timeout_s=60)
        assert (ran.returncode, ran.stdout) == (1, ""), ran.stderr
        (line,) = ran.stderr.splitlines()
        return line

    @property
    def env(self) -> dict[str, str]:
        return {**WITH_SECRET, "XDG_RUNTIME_DIR": str(self.kept), "XDG_DATA_HOME": str(self.kept)}

    def forwards(self, host: Host, directory: Path) -> Any:
        ran = host.run([*TOXVPN, "status", "--json", "-C", str(directory)])
        return json.loads(ran.stdout)["forwards"]

    def listens(self, port: int = PORT, address: str = HERE) -> bool:
        with contextlib.suppress(OSError), self.box.connect(address, port, 1.0):
            return True
        return False


@pytest.fixture(scope="module")
def scene(_shared_network: Lab) -> Iterator[Scene]:
    scene = Scene(_shared_network)
    yield scene
    for host in (scene.box, scene.laptop):
        scene.lab.remove(host)


def says_back(host: Host, port: int, address: str = HERE) -> None:
    with host.connect(address, port, 15.0) as sock:
        sock.sendall(b"hello")
        assert sock.recv(5) == b"hello"


@pytest.mark.parametrize("road", ["tuntox", "auto"])
def test_programs_of_the_server_reach_the_client(scene: Scene, road: str) -> None:
    client = scene.client(f"road-{road}", "-R", f"0:{ECHO}", road=road)
    client.wait_for(LISTENING)
    assert client.process.stdout
    told = client.process.stdout.readline().decode()
    port = int(re.fullmatch(rf"allocated port (\d+) for remote forward to {ECHO}\n", told)[1])  # type: ignore[index]
    says_back(scene.box, port)
    says_back(scene.box, port, "::1")
    scene.server.wait_for(f"streams take the {'fast' if road == 'auto' else road} road")
    (here,), (there,) = scene.forwards(scene.box, scene.directory), scene.forwards(scene.laptop, scene.kept)
    assert (here["remote"], there["remote"], there["problem"]) == ("here", "there", None)
    assert here["listen"] == f"127.0.0.1:{port}, [::1]:{port}" and there["listen"].endswith(here["listen"])
    client.stop()
    wait_until(lambda: not scene.listens(port), "the end of the listener", 5.0)


def test_each_refusal_is_a_line(scene: Scene) -> None:
    with scene.box.socket() as busy:
        busy.bind((HERE, BUSY))
        busy.listen()
        assert "the port is in use there" in scene.refusal("-R", f"{HERE}:{BUSY}:{ECHO}")
    assert "may not listen on 0.0.0.0:8080, [::]:8080" in scene.refusal("-R", f"*:8080:{ECHO}")
    assert "allow_listen" in scene.refusal("-R", f"80:{ECHO}")
    assert "give an address of that machine" in scene.refusal("-R", f"10.255.0.1:7302:{ECHO}")


def test_it_comes_back_after_either_side_was_killed(scene: Scene) -> None:
    first = scene.client("first", "-R", f"{PORT}:{ECHO}")
    first.wait_for(LISTENING)
    says_back(scene.box, PORT)
    first.kill()
    began_s = time.monotonic()
    second = scene.client("second", "-R", f"{PORT}:{ECHO}")
    second.wait_for(LISTENING)
    says_back(scene.box, PORT)
    show("the client killed and started again: until it listens", began_s)
    scene.server.kill()
    assert not scene.listens()
    began_s = time.monotonic()
    scene.server = scene.start_server()
    wait_until(scene.listens, "the listener of the server's next run", 60.0)
    says_back(scene.box, PORT)
    show("the server killed and started again: until it listens", began_s)
    second.stop()


def show(what: str, began_s: float) -> None:
    """Printed with `pytest -s`."""
    print(f"{what}: {time.monotonic() - began_s:.1f} s")  # noqa: T201
