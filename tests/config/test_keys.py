"""Every key of config.toml: the values it refuses, its flag, and its part in a reload."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli.config import lines
from toxvpn.config.diff import InForce, changes, needs_restart
from toxvpn.config.file import parse
from toxvpn.config.keys import Key
from toxvpn.config.model import SECTIONS, Config
from toxvpn.config.policy import policy
from toxvpn.errors import ConfigError
from toxvpn.wire.toxid import ToxId

PATH = Path("/etc/toxvpn/config.toml")
KEYS = [(section.name, name, key) for section in SECTIONS for name, key in section.keys.items()]
every_key = pytest.mark.parametrize(("section", "name", "key"), KEYS, ids=[f"{s}.{n}" for s, n, _ in KEYS])

ID = str(ToxId(bytes(range(32)), b"spam"))
BASE = f'''
[node]
[server]
[vpn]
[peers.NAME]
id = "{ID}"
[peers.other]
id = "{ToxId(bytes(32), b"spam")}"
[[forwards]]
peer = "NAME"
listen = 1000
target = "localhost:1"
mode = "0600"
[[socks]]
peer = "NAME"
listen = 2000
[[remote_forwards]]
peer = "NAME"
listen = 3000
target = "localhost:3"
'''
OTHER_VALUES = {
    "node.tcp_port": 1,
    "node.udp_segmentation": "on",
    "node.lan_discovery": False,
    "node.port_mapping": False,
    "node.keep_streams": "8h",
    "server.secret_file": "{tmp}/secret",
    "server.whitelist": [ID],
    "server.open": True,
    "vpn.mtu": 1280,
    "vpn.interface": "vpn1",
    "vpn.offload": False,
    "vpn.snat": False,
    "vpn.exit_lan": False,
    "peers.NAME.id": str(ToxId(bytes(range(1, 33)), b"spam")),
    "peers.NAME.secret_file": "{tmp}/secret",
    "peers.NAME.vpn": False,
    "peers.NAME.may_exit": True,
    "forwards[N].peer": "other",
    "socks[N].peer": "other",
    "forwards[N].target": "localhost:2",
    "remote_forwards[N].peer": "other",
    "forwards[N].mode": "0660",
}
"""Where the example is what the default is."""


def with_value(section: str, name: str, value: Any) -> str:
    """BASE, but for one key."""
    document = tomllib.loads(BASE)
    table: Any = document
    for step in section.removesuffix("[N]").split("."):
        table = table[step]
    (table[0] if isinstance(table, list) else table)[name] = value
    return "\n".join(toml(document))


def toml(document: dict[str, Any]) -> list[str]:
    found = []
    for name, table in document.items():
        tables = table if isinstance(table, list) else [table]
        heading = f"[[{name}]]" if isinstance(table, list) else f"[{name}]"
        if name == "peers":
            for peer, keys in table.items():
                found += [f"[peers.{peer}]", *(f"{key} = {literal(value)}" for key, value in keys.items())]
            continue
        for each in tables:
            found += [heading, *(f"{key} = {literal(value)}" for key, value in each.items())]
    return found


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else repr(value).replace("'", '"')


def in_force(text: str, directory: Path) -> InForce:
    config = parse(text, PATH)
    return InForce(config, policy(config, directory))


@every_key
def test_a_wrong_value_is_refused_with_what_is_right(section: str, name: str, key: Key) -> None:
    path = f"{section}.{name}".replace("[N]", "[1]")
    with pytest.raises(ConfigError) as refused:
        parse(with_value(section, name, 2.5), PATH)
    assert str(refused.value) == f"{PATH}: {path}: must be {key.form}, not 2.5"


@every_key
def test_its_example_is_a_value_that_it_takes(section: str, name: str, key: Key) -> None:
    assert key.read(tomllib.loads(f"value = {key.example}")["value"]) is not Ellipsis


def typed(value: Any) -> str:
    """The argument of a flag for that value of the file."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(value) if isinstance(value, list) else str(value)


@every_key
def test_a_flag_takes_what_the_file_takes(section: str, name: str, key: Key) -> None:
    if key.flag is not None and key.flag.value is None:
        value = tomllib.loads(f"value = {key.example}")["value"]
        assert key.read(key.flag.from_text(typed(value))) == key.read(value)


@every_key
def test_a_change_is_told_or_takes_a_restart(section: str, name: str, key: Key, tmp_path: Path) -> None:
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text("a secret of the file")
    path = f"{section}.{name}"
    value = OTHER_VALUES.get(path, tomllib.loads(f"value = {key.example}")["value"])
    if isinstance(value, str):
        value = value.replace("{tmp}", str(tmp_path))
    before, after = in_force(BASE, tmp_path), in_force(with_value(section, name, value), tmp_path)
    assert before.config != replace(after.config, given=before.config.given), "another value is needed here"
    restarts = list(needs_restart(before.config, after.config))
    assert restarts == ([f"{path} changed: that takes a restart"] if key.restart else [])
    assert bool(list(changes(before, after))) is not key.restart


def test_config_show_has_every_key(tmp_path: Path) -> None:
    shown = {line.key for line in lines(parse(BASE, PATH), "config.toml", tmp_path)}
    assert {f"{section}.{name}".replace("[N]", "[1]") for section, name, _ in KEYS} <= shown


def test_without_a_file_the_defaults_are_in_force() -> None:
    assert Config().node == parse("", PATH).node
