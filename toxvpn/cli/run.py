"""`toxvpn run`: runs everything that config.toml switches on."""

import os
from pathlib import Path
from typing import Any

import click

from ..config.file import load
from ..config.flags import RunKind
from ..errors import UsageError
from .config_flag import CONFIG, config_path
from .given_secret import find_secret
from .process_flags import PROCESS, ProcessOptions
from .run_options import daemon_options, start
from .shared import ON_NETWORK, SHARED, Settings, takes


@click.command("run")
@takes((CONFIG, *ON_NETWORK, *PROCESS, *SHARED))
@click.pass_obj
def command(
    settings: Settings,
    /,
    config_file: Path | None,
    secret: str | None,
    secret_file: Path | None,
    id_file: Path | None,
    **typed: Any,
) -> int:
    """Do all that the configuration says: serve, forward and be on the VPN, as one.

    In the foreground, until a signal or `toxvpn down`; SIGHUP or `toxvpn reload` applies what changed.
    """
    process = ProcessOptions.taken_from(typed)
    process.begin(settings)
    path = config_path(settings, config_file)
    config = load(path)
    forwards = config.forwards or config.remote_forwards
    if config.server is None and config.vpn is None and not forwards and not config.peers:
        raise UsageError(
            f"{path} switches nothing on: it needs [server], [vpn], [peers.NAME] or [[forwards]]"
        )
    given = find_secret(secret, secret_file, os.environ)
    return start(daemon_options(settings, process, RunKind.RUN, config, secret=given, id_file=id_file))
