"""`toxvpn config check` and `config show`: what the configuration says, without running it."""

import json
from pathlib import Path
from typing import Any

import click

from ..configfile import Config, load
from .run import CONFIG, config_path
from .shared import SHARED, Settings, takes


@click.group("config")
def command() -> None:
    """Check or show the configuration."""


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
    """Print what is in force, a key a line, and where it comes from. Secrets stay in their files."""
    settings.begin()
    path = config_path(settings, config_file)
    config = read(path)
    for key, value in config.given.items():
        click.echo(f"{key} = {json.dumps(value)}  # {path.name}")
    for key, value in defaults(config).items():
        click.echo(f"{key} = {json.dumps(value)}  # default")


def read(path: Path) -> Config:
    """The configuration with the secrets and nodes that it names. Raises ConfigError."""
    from ..daemon.whole import configured
    from ..tox.bootstrap import load_nodes
    from ..tox.secretfile import read_secret_file

    config = load(path)
    configured(config)
    if config.server is not None and config.server.secret_file is not None:
        read_secret_file(config.server.secret_file)
    if config.node.nodes_file is not None:
        load_nodes(config.node.nodes_file)
    return config


def defaults(config: Config) -> dict[str, Any]:
    """What holds for keys that the file leaves out."""
    values: dict[str, Any] = {
        "node.nodes_file": "(built-in)",
        "node.udp_ports": "(random)",
        "node.tcp_port": 0,
        "node.proxy": "(none)",
    }
    if config.server is not None:
        values |= {"server.open": False, "server.whitelist": [], "server.allow": "(everything)"}
    if config.vpn is not None:
        values |= {"vpn.interface": "toxvpn0", "vpn.mtu": 1368, "vpn.address": "(from the key)"}
    for name in config.peers:
        values |= {f"peers.{name}.vpn": True, f"peers.{name}.allow": "(as server.allow)"}
    return {key: value for key, value in values.items() if key not in config.given}
