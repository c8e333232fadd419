"""`toxvpn doctor`: whom it is about, which identity it takes, what it prints. The checks are replaced."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toxvpn.doctor import examine
from toxvpn.doctor.findings import Finding, Layer, Report, make_report
from toxvpn.doctor.observations import OwnStatusSeen
from toxvpn.doctor.options import DoctorOptions
from toxvpn.doctor.peer_observations import TargetSeen
from toxvpn.members import peers
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.testing.fake_status import ALICE
from toxvpn.wire.socks5 import ReplyCode
from toxvpn.wire.toxid import ToxId

BOX = ToxId(bytes([7]) * 32, bytes(4))
REFUSED = TargetSeen("localhost:22", (ReplyCode.CONNECTION_REFUSED, "connection refused")).finding()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[DoctorOptions]:
    """What the doctor was asked to look at; it finds that the target refuses."""
    options: list[DoctorOptions] = []

    def run_doctor(wanted: DoctorOptions, tell: Callable[[Finding], None]) -> Report:
        options.append(wanted)
        found = [OwnStatusSeen("udp", 1.0).finding(), REFUSED]
        for finding in found:
            tell(finding)
        return make_report(found, {Layer.ROAD: "no peer was given"})

    monkeypatch.setattr(examine, "run_doctor", run_doctor)
    return options


def test_text_and_json_name_the_same_layer_with_the_same_code(
    toxvpn: Any, here: Path, asked: list[DoctorOptions]
) -> None:
    ran = toxvpn("-C", here, "doctor")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert lines[0] == "ok      own-status     on the Tox network, over UDP"
    assert lines[1] == "failed  target         localhost:22: connection refused"
    assert lines[2].strip().startswith("-> on the other machine")
    assert "skipped road           no peer was given" in lines
    assert lines[-1] == "the first layer that fails: target"
    ran = toxvpn("doctor", "--json", "-C", here)
    assert (ran.code, ran.err) == (1, "")
    report = json.loads(ran.out)
    assert (report["problem"], report["exit_code"]) == ("target", 1)
    assert len(report["layers"]) == len(Layer)


@pytest.mark.parametrize("named", [True, False])
def test_where_all_is_well_with_a_peer_the_next_step_is_its_speed(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    report = make_report([OwnStatusSeen("udp", 1.0).finding()], {})
    monkeypatch.setattr(examine, "run_doctor", lambda *_: report)
    ran = toxvpn("-C", here, "doctor", *(["-i", str(BOX)] if named else []))
    assert ran.code == 0
    assert ("all is well" in ran.out, f"how fast it is: toxvpn speed {BOX}" in ran.out) == (True, named)


def test_the_flags_arrive(toxvpn: Any, here: Path, asked: list[DoctorOptions], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret\n")
    secret.chmod(0o600)
    toxvpn(
        "-b", "nodes.json", "doctor", "-C", here, "-i", BOX, "--target", "[::1]:22", "--timeout", "5",
        "--secret-file", secret,
    )  # fmt: skip
    [options] = asked
    assert options.peer == ConfiguredPeer(BOX.public_key, BOX.nospam)
    assert options.target is not None and (options.target.host, options.target.port) == ("::1", 22)
    assert (options.nodes_file, options.secret, options.timeout_s) == (Path("nodes.json"), b"a secret", 5.0)
    assert options.directory is None and options.runtime is None
    assert not here.exists()  # nothing is made


def test_a_tox_id_needs_no_flag(toxvpn: Any, here: Path, asked: list[DoctorOptions]) -> None:
    toxvpn("doctor", "-C", here, BOX)
    assert asked[0].peer == ConfiguredPeer(BOX.public_key, BOX.nospam)


def test_a_kept_peer_is_asked_with_the_identity_it_knows(
    toxvpn: Any, here: Path, asked: list[DoctorOptions]
) -> None:
    toxvpn("id", "-C", here)
    peers.save(here, {BOX.public_key: ConfiguredPeer(BOX.public_key, BOX.nospam, "box")})
    toxvpn("doctor", "-C", here, "box")
    assert asked[0].peer == ConfiguredPeer(BOX.public_key, BOX.nospam, "box")
    assert asked[0].directory == here


def test_a_peer_of_the_configuration_comes_with_its_secret_and_the_way_there(
    toxvpn: Any, here: Path, asked: list[DoctorOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    here.mkdir(mode=0o700)
    for name, content in (
        ("secret", "kept\n"),
        (
            "config.toml",
            f"""
[node]
proxy = "socks5://127.0.0.1:9050"
nodes_file = "nodes.json"
[peers.box]
id = "{BOX}"
secret_file = "secret"
""",
        ),
    ):
        (here / name).write_text(content)
        (here / name).chmod(0o600)
    ran = toxvpn("doctor", "-C", here, "box")
    assert ran.err == ""
    [options] = asked
    assert options.peer is not None and options.peer.public_key == BOX.public_key
    assert (options.secret, str(options.proxy)) == (b"kept", "socks5://127.0.0.1:9050")
    assert options.nodes_file == here / "nodes.json"
    toxvpn("doctor", "-C", here, "--proxy", "socks5://127.0.0.1:9051")
    assert str(asked[1].proxy) == "socks5://127.0.0.1:9051"


def test_the_running_toxvpn_is_asked_of_a_peer_it_knows(
    toxvpn: Any, here: Path, asked: list[DoctorOptions]
) -> None:
    with FakeDaemon(here):
        toxvpn("doctor", "-C", here, "alice")
        toxvpn("doctor", "-C", here, "-i", ToxId(ALICE, bytes(4)))
        toxvpn("doctor", "-C", here)
        toxvpn("doctor", "-C", here, "-i", BOX)
        stranger = toxvpn("doctor", "-C", here, "mallory")
    assert [options.runtime for options in asked] == [here, here, here, None]
    assert [options.peer.public_key if options.peer else None for options in asked] == [
        ALICE,
        ALICE,
        None,
        BOX.public_key,
    ]
    assert stranger.code == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["box", "-i", BOX], 2),
        (["-i", "F" * 76], 2),
        (["-i", "toxvpn:abc"], 2),
        (["--target", "22"], 2),
        (["nobody"], 4),
    ],
)
def test_mistakes(toxvpn: Any, here: Path, arguments: list[object], code: int) -> None:
    ran = toxvpn("doctor", "-C", here, *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.count("\n") == 1
