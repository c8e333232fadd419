"""`toxvpn run`: everything that config.toml switches on. From its flags to RunOptions (config/options.py)."""

import os
from pathlib import Path
from typing import Any

import click

from ..config.file import Config, load
from ..config.options import RunOptions
from ..errors import UsageError
from .config_flag import CONFIG, config_path, node_options
from .given_secret import find_secret
from .process_flags import PROCESS, Process, without_ports_beside_a_proxy
from .shared import NODE, SHARED, Settings, takes


@click.command("run")
@takes((CONFIG, *NODE, *PROCESS, *SHARED))
@click.pass_obj
def command(settings: Settings, /, config_file: Path | None, **typed: Any) -> int:
    """Do all that the configuration says: serve, forward and be on the VPN, as one.

    In the foreground, until a signal or `toxvpn down`; SIGHUP or `toxvpn reload` applies what changed.
    """
    process = Process.taken_from(typed)
    process.begin(settings)
    path = config_path(settings, config_file)
    config = load(path)
    if config.server is None and config.vpn is None and not config.forwards and not config.peers:
        raise UsageError(
            f"{path} switches nothing on: it needs [server], [vpn], [peers.NAME] or [[forwards]]"
        )
    return start(build(settings, process, config, **typed))


def build(
    settings: Settings,
    process: Process,
    config: Config,
    *,
    secret: str | None,
    secret_file: Path | None,
    id_file: Path | None,
    udp_ports: str | None,
    tcp_port: str | None,
) -> RunOptions:
    """Raises UsageError, ConfigError."""
    common = node_options(settings, process, config, id_file=id_file, udp_ports=udp_ports, tcp_port=tcp_port)
    options = RunOptions(**common, secret=find_secret(secret, secret_file, os.environ))
    return without_ports_beside_a_proxy(options)


def start(options: RunOptions) -> int:
    """The exit code."""
    from .. import daemon  # the compiled parts and asyncio: only when it is clear what to do

    return daemon.run_daemon(options)
