"""The configuration in force: flags over config.toml, for each kind of run."""

from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from toxvpn.config.flags import DaemonOptions
from toxvpn.config.model import Config
from toxvpn.config.server import ServerSection
from toxvpn.config.vpn import VpnSection
from toxvpn.errors import ConfigError
from toxvpn.tcpforward.rules import Rules, parse_rules
from toxvpn.testing.options import run_options, server_options, up_options
from toxvpn.wire.toxid import ToxId

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
TEXT = f"""
[node]
tcp_port = 0
[server]
secret_file = "secret"
whitelist = ["{OTHER.hex()}"]
allow = ["localhost:22"]
[vpn]
name = "here"
mtu = 1280
[peers.box]
id = "{ToxId(KEY, b"spam")}"
allow = ["localhost:80"]
vpn = false
[[forwards]]
peer = "box"
listen = 2222
target = "localhost:22"
"""
OPEN = "[server]\nopen = true\n"
RULES = parse_rules("localhost:443", "")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(TEXT)
    (tmp_path / "open.toml").write_text(OPEN)
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "rules").write_text("localhost:443\n")
    return tmp_path


def read(options: DaemonOptions) -> Config:
    """As a reload does."""
    return options.source.read() if options.source.files else options.config


def server(directory: Path, name: str | None, **flags: Any) -> ServerSection:
    config = read(server_options(config_file=directory / name if name else None, **flags))
    assert (config.vpn, config.forwards) == (None, ()), "not the server's part"
    assert config.server is not None
    return config.server


def says(directory: Path) -> ServerSection:
    """What the file says."""
    allow = parse_rules("localhost:22", "")
    return ServerSection(secret_file=directory / "secret", whitelist=frozenset({OTHER}), allow=allow)


# what is not in the table's last column is as in the file
SERVERS: list[tuple[str | None, dict[str, Any], dict[str, Any]]] = [
    (None, {}, {}),
    (None, {"open": True}, {"open": True}),
    (None, {"whitelist": frozenset({KEY})}, {"whitelist": frozenset({KEY})}),
    ("empty.toml", {}, {}),
    ("config.toml", {}, {}),
    ("config.toml", {"whitelist": frozenset({KEY})}, {"whitelist": frozenset({KEY})}),
    ("config.toml", {"secret": b"typed"}, {}),
    ("config.toml", {"open": True}, {"open": True, "whitelist": frozenset(), "secret_file": None}),
    ("config.toml", {"rules_file": "rules"}, {"allow": RULES}),
    ("open.toml", {}, {"open": True}),
    ("open.toml", {"secret": b"typed"}, {"open": False}),
    ("open.toml", {"whitelist": frozenset({KEY})}, {"open": False, "whitelist": frozenset({KEY})}),
    ("open.toml", {"rules_file": "rules"}, {"open": True, "allow": RULES}),
]


@pytest.mark.parametrize(("name", "flags", "expected"), SERVERS)
def test_server(directory: Path, name: str | None, flags: dict[str, Any], expected: dict[str, Any]) -> None:
    if "rules_file" in flags:
        flags = {"rules_file": directory / flags["rules_file"]}
    found = server(directory, name, **flags)
    base = says(directory) if name == "config.toml" else ServerSection()
    for key in ("secret_file", "whitelist", "open", "allow"):
        assert getattr(found, key) == expected.get(key, getattr(base, key)), key


def test_the_secret_of_the_run_is_no_files(directory: Path) -> None:
    options = server_options(config_file=directory / "config.toml", secret=b"typed")
    assert read(options).secret == b"typed"
    assert "typed" not in repr(read(options))
    assert read(run_options(config_file=directory / "config.toml", secret=b"typed")).secret == b"typed"
    assert read(run_options(config_file=directory / "config.toml")).secret is None


VPNS: list[tuple[str | None, dict[str, Any], VpnSection]] = [
    (None, {}, VpnSection()),
    ("config.toml", {}, VpnSection(name="here", mtu=1280)),
    ("config.toml", {"mtu": 1300}, VpnSection(name="here", mtu=1300)),
    ("config.toml", {"offload": False}, VpnSection(name="here", mtu=1280, offload=False)),
    (
        "config.toml",
        {"name": "there", "interface": "tox1", "address": IPv4Interface("10.9.8.7/24")},
        VpnSection(name="there", mtu=1280, interface="tox1", address=IPv4Interface("10.9.8.7/24")),
    ),
]


@pytest.mark.parametrize(("name", "flags", "expected"), VPNS)
def test_up(directory: Path, name: str | None, flags: dict[str, Any], expected: VpnSection) -> None:
    options = up_options(config_file=directory / name if name else None, secret=b"typed", **flags)
    config = read(options)
    assert (config.vpn, config.server, config.forwards, config.secret) == (expected, None, (), b"typed")
    if name:
        box = config.peers["box"]
        assert (box.public_key, box.vpn) == (KEY, False)
        assert box.allow == parse_rules("localhost:80", ""), "it limits the network too"


def test_run_does_all_that_the_file_says(directory: Path) -> None:
    config = read(run_options(config_file=directory / "config.toml"))
    assert config.server == says(directory)
    assert config.vpn == VpnSection(name="here", mtu=1280)
    assert len(config.forwards) == 1 and config.peers["box"].allow == parse_rules("localhost:80", "")


def test_each_time_it_is_read_again(directory: Path) -> None:
    options: list[DaemonOptions] = [
        server_options(config_file=directory / "config.toml"),
        up_options(config_file=directory / "config.toml"),
        run_options(config_file=directory / "config.toml"),
    ]
    before = [read(each) for each in options]
    (directory / "config.toml").write_text(TEXT.replace("box", "other"))
    assert [list(read(each).peers) for each in options] == [["other"]] * 3
    assert [list(each.peers) for each in before] == [["box"]] * 3
    (directory / "config.toml").write_text("[vpnn]")
    for each in options:
        with pytest.raises(ConfigError, match="did you mean 'vpn'"):
            read(each)


def test_the_rules_of_f_are_read_again(directory: Path) -> None:
    options = server_options(rules_file=directory / "rules")
    assert read(options).server == ServerSection(allow=RULES)
    (directory / "rules").write_text("localhost")
    with pytest.raises(ConfigError, match="rules:1"):
        read(options)


def test_without_a_file() -> None:
    assert read(server_options()) == Config(server=ServerSection())
    assert read(up_options()) == Config(vpn=VpnSection())


def test_only_is_only(directory: Path) -> None:
    """What the file lets single peers reach does not go around -i and -f."""
    file = directory / "config.toml"
    text = TEXT.replace('allow = ["localhost:80"]', 'allow = ["*:0"]')
    file.write_text(text)

    def box(**flags: Any) -> Rules:
        allow = read(server_options(config_file=file, **flags)).peers["box"].allow
        assert allow is not None
        return allow

    assert box().allows("10.0.0.1", 3306)
    narrowed = box(rules_file=directory / "rules")
    assert narrowed.allows("localhost", 443)
    assert not narrowed.allows("10.0.0.1", 3306) and not narrowed.allows("localhost", 22)
    assert not box(whitelist=frozenset({OTHER})).allows("localhost", 80)
    assert box(whitelist=frozenset({KEY})).allows("localhost", 80)


def test_the_network_alone_has_no_fast_road() -> None:
    kinds = server_options(), run_options(), up_options()
    assert [options.has_fast_road for options in kinds] == [True, True, False]
