"""`toxvpn config check` and `config show`: check and print the configuration without running it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from ..config.file import load
from ..config.model import Config
from ..config.node import NODE
from ..config.peers import PEER
from ..config.server import SERVER
from ..config.vpn import VPN
from .config_flag import CONFIG, config_path, may_exist
from .shared import SHARED, Settings, need_verb, takes

DEFAULT = "default"


class Line(NamedTuple):
    key: str
    value: str
    origin: str

    def __str__(self) -> str:
        return f"{self.key} = {self.value}  # {self.origin}"


@click.group("config", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Check or show the configuration."""
    need_verb(ctx)


@command.command("check")
@takes((CONFIG, *SHARED))
@click.pass_obj
def check(settings: Settings, config_file: Path | None) -> None:
    """Say whether the configuration can be used; 78 when it cannot."""
    settings.begin()
    path = config_path(settings, config_file)
    read(path)
    click.echo(f"{path}: good")


@command.command("show")
@takes((CONFIG, *SHARED))
@click.pass_obj
def show(settings: Settings, config_file: Path | None) -> None:
    """Print every key in force, one a line, and where it comes from. Secrets stay in their files."""
    settings.begin()
    path = config_path(settings, config_file)
    config = read(path) if config_file is not None or may_exist(path) else Config()
    for line in lines(config, path.name, settings.places.data):
        click.echo(str(line))


def read(path: Path) -> Config:
    """Reads the configuration, and the secrets and nodes that it names. Raises ConfigError."""
    from ..config.policy import peers
    from ..state.secretfile import read_secret_file
    from ..tox.bootstrap import load_nodes

    config = load(path)
    peers(config)
    if config.server is not None and config.server.secret_file is not None:
        read_secret_file(config.server.secret_file, config.owner)
    if config.node.nodes_file is not None:
        load_nodes(config.node.nodes_file)
    return config


def lines(config: Config, file_name: str, data: Path) -> Iterator[Line]:
    """Every key, in the order of the documentation. `data` is where peers.json and the secret are kept."""
    sections = {"node": NODE.keys}
    if config.server is not None:
        sections["server"] = SERVER.keys
    if config.vpn is not None:
        sections["vpn"] = VPN.keys
    for name in config.peers:
        sections[f"peers.{name}"] = PEER.keys
    for section, keys in sections.items():
        for name, key in keys.items():
            path = f"{section}.{name}"
            if path in config.given:
                yield Line(path, json.dumps(config.given[path]), file_name)
            elif path == "server.secret_file":
                yield Line(path, secret_default(config, data), DEFAULT)
            else:
                yield Line(path, key.default_shown, DEFAULT)
    for path, value in config.given.items():
        if path.startswith(("forwards[", "socks[", "remote_forwards[")):
            yield Line(path, json.dumps(value), file_name)
    yield from kept_peers(config, data)


def secret_default(config: Config, data: Path) -> str:
    from ..config.policy import makes_secret
    from ..state.secretfile import SECRET_NAME

    return json.dumps(str(data / SECRET_NAME)) if makes_secret(config) else "(none)"


def kept_peers(config: Config, data: Path) -> Iterator[Line]:
    """The peers of peers.json (`peer add`, `peer accept`, `join`, invites) that config.toml does not name."""
    from ..members import peers

    configured = {peer.public_key for peer in config.peers.values()}
    for public_key, peer in peers.load(data).items():
        if public_key not in configured:
            value = str(peer.tox_id or public_key.hex().upper())
            yield Line(f"peers.{peer.short}.id", json.dumps(value), peers.PEERS_NAME)
