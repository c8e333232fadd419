"""Options as the command line makes them of flags, for tests without a command line."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from ..config.file import load
from ..config.flags import ConfigSource, DaemonOptions, RunKind
from ..config.model import Config
from ..config.options import NodeOptions
from ..config.server import SERVER
from ..config.vpn import VPN

NODE_OPTIONS = {each.name for each in fields(NodeOptions)}
SECTIONS = {RunKind.SERVER: SERVER, RunKind.UP: VPN}


def server_options(**given: Any) -> DaemonOptions:
    """The options of `toxvpn` alone; each of `given` by the name of its key or option."""
    return daemon_options(RunKind.SERVER, **given)


def up_options(**given: Any) -> DaemonOptions:
    return daemon_options(RunKind.UP, **given)


def run_options(**given: Any) -> DaemonOptions:
    return daemon_options(RunKind.RUN, **given)


def daemon_options(kind: RunKind, config_file: Path | None = None, **given: Any) -> DaemonOptions:
    node = {name: given.pop(name) for name in NODE_OPTIONS & given.keys()}
    peers, user_network = given.pop("peers", ()), given.pop("user_network", None)
    if "rules_file" in given:
        given["rules_file"] = given["rules_file"].absolute()
    typed: dict[str, Any] = {}
    if (section := SECTIONS.get(kind)) is not None:
        typed = {f"{section.name}.{name}": given.pop(name) for name in section.keys.keys() & given.keys()}
    source = ConfigSource(kind=kind, file=config_file, typed=typed, **given)
    config = source.in_force(Config() if config_file is None else load(config_file))
    return DaemonOptions(**node, source=source, config=config, peers=peers, user_network=user_network)
