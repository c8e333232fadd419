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


def server_options(**said: Any) -> DaemonOptions:
    """Of `toxvpn` alone; each of `said` by the name of its key or option."""
    return daemon_options(RunKind.SERVER, **said)


def up_options(**said: Any) -> DaemonOptions:
    return daemon_options(RunKind.UP, **said)


def run_options(**said: Any) -> DaemonOptions:
    return daemon_options(RunKind.RUN, **said)


def daemon_options(kind: RunKind, config_file: Path | None = None, **said: Any) -> DaemonOptions:
    node = {name: said.pop(name) for name in NODE_OPTIONS & said.keys()}
    peers = said.pop("peers", ())
    if "rules_file" in said:
        said["rules_file"] = said["rules_file"].absolute()
    typed: dict[str, Any] = {}
    if (section := SECTIONS.get(kind)) is not None:
        typed = {f"{section.name}.{name}": said.pop(name) for name in section.keys.keys() & said.keys()}
    source = ConfigSource(kind=kind, file=config_file, typed=typed, **said)
    config = source.in_force(Config() if config_file is None else load(config_file))
    return DaemonOptions(**node, source=source, config=config, peers=peers)
