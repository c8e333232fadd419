"""The doctor on a real Tox network in which one layer after the other is broken: it names that one."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from forwards import TOXVPN, USER, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab, apps
from toxvpn.testing.fake_tox import FakeNetwork, FakeTox

IMPATIENT = ("--timeout", "12")
"""Time to wait where no answer will come; an answer takes 3 s."""
ECHO = f"localhost:{apps.ECHO_PORT}"


@dataclass(frozen=True)
class Scene:
    lab: Lab
    server: Server
    laptop: Host

    def doctor(self, *arguments: str, host: Host | None = None, secret: str | None = None) -> dict[str, Any]:
        """The findings, after a check that the exit code agrees with them."""
        env = WITH_SECRET if secret is None else {"TOXVPN_SHARED_SECRET": secret}
        argv = [*TOXVPN, "-b", str(self.lab.nodes_json), "doctor", "--json", *arguments]
        ran = (host or self.laptop).run(argv, user=USER, env=env, check=False, timeout_s=120)
        report: dict[str, Any] = json.loads(ran.stdout)
        assert report["exit_code"] == ran.returncode, ran.stderr
        return report


@pytest.fixture(scope="module")
def scene(_shared_network: Lab) -> Iterator[Scene]:
    """A server behind a NAT, and a laptop behind another one."""
    lab = _shared_network
    outer = lab.nat("clinic"), lab.nat("cottage")
    host, laptop = outer[0].host("practice"), outer[1].host("patient")
    apps.echo_server(host)
    server = Server(lab, host, private_directory(host, "server"), env=WITH_SECRET)
    server.wait_for("Tox network: udp")
    yield Scene(lab, server, laptop)
    for each in (host, laptop, *outer):
        lab.remove(each)


def layers(report: dict[str, Any]) -> dict[str, str]:
    return {each["layer"]: each["status"] for each in report["layers"]}


def test_all_is_well(scene: Scene) -> None:
    report = scene.doctor("-i", scene.server.tox_id, "--target", ECHO)
    assert (report["problem"], report["exit_code"]) == (None, 0), report
    assert {layer for layer, state in layers(report).items() if state != "ok"} == {"vpn"}


def test_without_a_peer_it_looks_at_this_machine_alone(scene: Scene) -> None:
    report = scene.doctor()
    assert report["exit_code"] == 0
    assert layers(report)["own-status"] == "ok" and layers(report)["friend-request"] == "skipped"


def test_no_bootstrap_node_can_be_reached(scene: Scene) -> None:
    island = scene.lab.host("island")
    island.down()
    report = scene.doctor("-i", scene.server.tox_id, host=island)
    assert (report["problem"], report["exit_code"]) == ("bootstrap", 5)
    assert layers(report)["own-status"] == "skipped"


def test_udp_is_blocked(scene: Scene) -> None:
    """It works all the same, and that is said too."""
    hotel = scene.lab.host("hotel")
    hotel.block_udp()
    report = scene.doctor("-i", scene.server.tox_id, "--target", ECHO, host=hotel)
    assert (report["problem"], report["exit_code"]) == ("udp", 6)
    [udp] = [each for each in report["layers"] if each["layer"] == "udp"]
    assert udp["status"] == "limited" and "TCP relays only" in udp["detail"]
    assert (layers(report)["path"], layers(report)["target"]) == ("limited", "ok")


def test_the_secret_is_wrong(scene: Scene) -> None:
    report = scene.doctor("-i", scene.server.tox_id, *IMPATIENT, secret="a guess")
    assert (report["problem"], report["exit_code"]) == ("friend-request", 5)
    assert re.search("ignored: the secret is wrong", scene.server.log_text())  # where the advice sends one


def test_the_server_does_not_run(scene: Scene) -> None:
    nobody = FakeTox(FakeNetwork())
    report = scene.doctor("-i", nobody.address.hex().upper(), *IMPATIENT)
    nobody.close()
    assert (report["problem"], report["exit_code"]) == ("friend-request", 5)


def test_the_target_refuses(scene: Scene) -> None:
    report = scene.doctor("-i", scene.server.tox_id, "--target", "localhost:9")
    assert (report["problem"], report["exit_code"]) == ("target", 1)
    assert "connection refused" in report["layers"][-1]["detail"]
    assert layers(report)["road"] == "ok"


def test_a_running_toxvpn_is_asked(scene: Scene) -> None:
    directory = private_directory(scene.laptop, "client")
    client = Client(
        scene.lab, scene.laptop, "client", scene.server.tox_id, "-L", f"7007:{ECHO}", "-C", str(directory),
        env=WITH_SECRET,
    )  # fmt: skip
    client.wait_for("peer [0-9A-F]{8}: udp")
    report = scene.doctor("-C", str(directory), scene.server.tox_id[:16])
    assert (report["problem"], report["exit_code"]) == (None, 0), report
    assert (layers(report)["protocol"], layers(report)["road"]) == ("ok", "skipped")
    client.stop()


def test_a_kept_peer_is_asked_with_the_kept_identity_which_stays_as_it_is(scene: Scene) -> None:
    directory = private_directory(scene.laptop, "kept")
    toxvpn = [*TOXVPN, "-C", str(directory)]
    scene.laptop.run([*toxvpn, "id"], user=USER)
    scene.laptop.run([*toxvpn, "peer", "add", scene.server.tox_id, "--name", "box"], user=USER)
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}
    report = scene.doctor("-C", str(directory), "box")
    assert (report["problem"], report["exit_code"]) == (None, 0), report
    assert before == {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}
