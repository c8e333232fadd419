"""The command for the other side: ready to be pasted, and no secret in a log."""

import logging
import os
import shlex
import sys
from pathlib import Path

import pytest

from toxvpn.config.file import parse
from toxvpn.config.model import Config
from toxvpn.config.policy import NOTHING, Policy, policy
from toxvpn.config.server import ServerSection
from toxvpn.report.welcome import client_command, example_forward, log_unlimited, print_server
from toxvpn.tcpforward.rules import Rules, parse_rules

ID = "0A" * 38
KEY = bytes(range(32))
USUAL = f"toxvpn -i {ID} -L 2222:localhost:22"


def command_for(text: str, directory: Path, secret: bytes | None = None, *, show: bool) -> str:
    made = parse(text, directory / "config.toml")
    config = Config(server=made.server, peers=made.peers, secret=secret)
    return client_command(ID, config, policy(config, directory), directory, show=show)


def test_to_a_person_the_secret_is_shown(tmp_path: Path) -> None:
    secret = "a secret with 'quotes'"
    assert command_for("[server]", tmp_path, secret.encode(), show=True) == (
        f"TOXVPN_SHARED_SECRET={shlex.quote(secret)} {USUAL}"
    )
    line = command_for("[server]", tmp_path, show=True)
    kept = (tmp_path / "secret").read_text().strip()
    assert line == f"TOXVPN_SHARED_SECRET={kept} {USUAL}"


@pytest.mark.parametrize("secret", [b"\xff\xfe", b"two\nlines"])
def test_a_secret_that_cannot_be_shown(tmp_path: Path, secret: bytes) -> None:
    assert command_for("[server]", tmp_path, secret, show=True) == (
        f"{USUAL} --secret-file FILE  # FILE: a file with the secret"
    )


def test_to_a_log_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own"
    path.touch(0o600)
    path.write_text("hidden")
    for text, secret, what in (
        ("[server]", b"hidden", "a file with the secret"),
        ("[server]", None, f"a copy of {tmp_path / 'secret'}"),
        ('[server]\nsecret_file = "own"', None, f"a copy of {path}"),
        ('[server]\nsecret_file = "own"', b"hidden", "a file with the secret"),
    ):
        line = command_for(text, tmp_path, secret, show=False)
        assert line == f"{USUAL} --secret-file FILE  # FILE: {what}"
        kept = tmp_path / "secret"
        assert "hidden" not in line and not (kept.exists() and kept.read_text().strip() in line)


@pytest.mark.parametrize("show", [True, False])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[server]\nopen = true", USUAL),
        (
            f'[server]\nwhitelist = ["{KEY.hex()}"]',
            f"{USUAL} -C DIR  # DIR: the directory of the identity that is let in",
        ),
        (
            f'[server]\n[peers.a]\nid = "{KEY.hex()}"',
            f"{USUAL} -C DIR  # DIR: the directory of the identity that is let in",
        ),
    ],
)
def test_without_a_secret(tmp_path: Path, text: str, line: str, show: bool) -> None:
    assert command_for(text, tmp_path, show=show) == line


@pytest.mark.parametrize(
    ("rules", "forward"),
    [
        (None, "2222:localhost:22"),
        ("", "2222:localhost:22"),
        ("*:0", "2222:localhost:22"),
        ("localhost:80", "8080:localhost:80"),
        ("nas.lan:445\nlocalhost:22", "2222:localhost:22"),
        ("*.lan:80\n10.0.0.0/8:443\nnas.lan:8443\nx:1", "8443:nas.lan:8443"),
        ("10.0.0.0/8:443", "2222:localhost:22"),
    ],
)
def test_the_example_is_one_that_works_where_there_is_one(rules: str | None, forward: str) -> None:
    assert example_forward(Rules() if rules is None else parse_rules(rules, "")) == forward


def test_the_id_is_on_stdout_and_nothing_else(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "toxvpn")
    config = Config(server=ServerSection(), secret=b"hidden from everybody")
    own: Policy = policy(config, tmp_path)
    print_server(config, own, ID, tmp_path)
    assert capsys.readouterr() == (f"{ID}\n", "")
    assert "on the other side: toxvpn -i" in caplog.text and "hidden" not in caplog.text
    caplog.clear()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    print_server(config, own, ID, tmp_path)
    out, err = capsys.readouterr()
    assert out == f"{ID}\n" and "TOXVPN_SHARED_SECRET='hidden" in err and caplog.text == ""
    logging.getLogger("toxvpn").setLevel(logging.ERROR)
    print_server(config, own, ID, tmp_path)
    assert capsys.readouterr().err == ""


def test_an_open_door_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = Config(server=ServerSection(open=True))
    print_server(config, policy(config, tmp_path), ID, tmp_path)
    assert "everybody who knows the Tox ID" in caplog.text
    assert policy(Config(), tmp_path).rules == NOTHING
    assert not os.listdir(tmp_path)  # noqa: PTH208


@pytest.mark.parametrize(("secret", "warned"), [(b"x" * 15, True), (b"x" * 16, False)])
def test_a_secret_that_can_be_guessed_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, secret: bytes, warned: bool
) -> None:
    config = Config(server=ServerSection(), secret=secret)
    print_server(config, policy(config, tmp_path), ID, tmp_path)
    assert ("can be guessed" in caplog.text) is warned


def test_who_may_reach_all_of_this_machine_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_unlimited([])
    assert caplog.text == ""
    log_unlimited(["box", "pi"])
    assert "may reach every port of this machine over the VPN: box, pi; `toxvpn peer allow" in caplog.text
    log_unlimited([f"box{number}" for number in range(5)])
    assert "box2, box3, …; " in caplog.text
