"""The configuration decides who is let in."""

import os
import stat
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from toxvpn.config.file import load, parse
from toxvpn.config.model import Config
from toxvpn.config.policy import EVERYTHING, NOTHING, Policy, makes_secret, policy
from toxvpn.errors import ConfigError
from toxvpn.members.friends import Authority

KEY = bytes(range(32))
PEER = f'[peers.box]\nid = "{KEY.hex()}"\n'


def config(text: str, directory: Path, secret: bytes | None = None) -> Config:
    made = parse(text, directory / "config.toml")
    return Config(server=made.server, peers=made.peers, vpn=made.vpn, secret=secret)


def of(text: str, directory: Path, secret: bytes | None = None) -> Policy:
    return policy(config(text, directory, secret), directory)


@pytest.mark.parametrize(
    ("text", "secret", "makes"),
    [
        ("[server]", None, True),
        ("[server]\nallow = []", None, True),
        ("[server]", b"typed", False),
        ("[server]\nopen = true", None, False),
        ('[server]\nsecret_file = "s"', None, False),
        (f'[server]\nwhitelist = ["{KEY.hex()}"]', None, False),
        (f"[server]\n{PEER}", None, False),
        ("[vpn]", None, False),
        (PEER, None, False),
    ],
)
def test_a_server_that_names_nobody_makes_a_secret(
    tmp_path: Path, text: str, secret: bytes | None, makes: bool
) -> None:
    assert makes_secret(config(text, tmp_path, secret)) is makes


def test_the_secret_that_is_made_is_kept(tmp_path: Path) -> None:
    first = of("[server]", tmp_path).authority.secret
    assert first is not None and len(first) >= 32
    assert of("[server]", tmp_path).authority == Authority(secret=first)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert first.decode() not in repr(of("[server]", tmp_path))


def test_what_was_typed_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "s").touch(0o600)
    (tmp_path / "s").write_text("of the file\n")
    text = '[server]\nsecret_file = "s"'
    assert of(text, tmp_path).authority.secret == b"of the file"
    assert of(text, tmp_path, b"typed").authority.secret == b"typed"
    assert of("[vpn]", tmp_path, b"typed").authority == Authority(secret=b"typed")
    assert of("[vpn]", tmp_path).authority == Authority()


def test_a_missing_secret_is_no_open_door(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no secret file"):
        of('[server]\nsecret_file = "s"', tmp_path)
    with pytest.raises(ConfigError, match="no secret file"):
        of(f'{PEER}secret_file = "s"', tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")
@pytest.mark.parametrize(
    "text", ['[server]\nsecret_file = "{}"', f'{PEER}secret_file = "{{}}"'], ids=["server", "peer"]
)
def test_another_users_configuration_does_not_have_root_tell_its_own_files(tmp_path: Path, text: str) -> None:
    """To the peer that it names."""
    secret = tmp_path / "roots"
    secret.touch(0o600)
    secret.write_text("of root")
    home = tmp_path / "home"
    home.mkdir()
    path = home / "config.toml"
    path.write_text(text.format(secret))
    assert policy(load(path), tmp_path)
    for place in (home, path):
        os.chown(place, 4242, 4242)
    with pytest.raises(ConfigError, match=f"{secret} must belong to user 4242, whose configuration names it"):
        policy(load(path), tmp_path)
    os.chown(secret, 4242, 4242)
    assert policy(load(path), tmp_path)


def test_what_may_be_reached(tmp_path: Path) -> None:
    assert of("", tmp_path).rules == NOTHING
    assert of("[server]\nopen = true", tmp_path).rules == EVERYTHING
    assert of("[server]\nopen = true\nallow = []", tmp_path).rules == NOTHING
    granted = of(f'{PEER}allow = ["localhost:22"]', tmp_path)
    assert granted.rules == NOTHING and granted.grants[KEY].allows("localhost", 22)
    assert of(PEER, tmp_path).grants == {}


def test_addresses_that_need_not_follow_from_the_key(tmp_path: Path) -> None:
    assert of(PEER, tmp_path).addresses == {}
    assert of(f'{PEER}address = "10.9.8.6"', tmp_path).addresses == {KEY: IPv4Address("10.9.8.6")}
