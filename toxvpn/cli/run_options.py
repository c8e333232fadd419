"""Makes the options of a run (config/flags.py, config/options.py) from flags and config.toml."""

import logging
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.keys import with_typed
from ..config.node import NODE, NodeSection
from ..errors import UsageError
from .process_flags import ProcessOptions
from .shared import Settings

if TYPE_CHECKING:
    from ..config.flags import DaemonOptions, RunKind, UserNetwork
    from ..config.model import Config
    from ..config.options import ClientOptions
    from ..members.peers import ConfiguredPeer
    from ..tox.proxy import Proxy

log = logging.getLogger("toxvpn.cli")

PROXY_VARIABLES = ("ALL_PROXY", "all_proxy")


def daemon_options(
    settings: Settings,
    process: ProcessOptions,
    kind: "RunKind",
    file: "Config | None",
    *,
    secret: bytes | None,
    id_file: Path | None,
    rules_file: Path | None = None,
    peers: "tuple[ConfiguredPeer, ...]" = (),
    user_network: "UserNetwork | None" = None,
) -> "DaemonOptions":
    """Options of a run that serves. Raises UsageError, ConfigError (the file of -f)."""
    from ..config.flags import ConfigSource, DaemonOptions
    from ..config.model import Config

    source = ConfigSource(
        kind=kind,
        file=None if file is None else file.path,
        typed={path: value for path, value in settings.typed.items() if not path.startswith("node.")},
        secret=secret,
        rules_file=None if rules_file is None else rules_file.absolute(),
    )
    options = DaemonOptions(
        **node_options(settings, process, file, id_file=id_file),
        source=source,
        config=source.in_force(file or Config()),
        peers=peers,
        user_network=user_network,
    )
    uses_exit = options.config.vpn is not None and options.config.vpn.exit is not None
    if uses_exit and options.proxy is not None and options.proxy.is_local:
        raise UsageError(
            f"an exit would take the packets of {options.proxy}, which runs on this machine, and Tox's are "
            "among them: leave out the exit or the proxy"
        )
    return options


def log_left_out(file: "Config | None", kind: "RunKind") -> None:
    """Logs which sections of the file this kind of run leaves out: somebody may wait for their effect."""
    from ..config.flags import LEFT_OUT

    left = [f"[{name}]" for name in LEFT_OUT[kind] if file is not None and getattr(file, name)]
    if left and file is not None:
        log.info("%s is left out here: `toxvpn run` does all of %s", " and ".join(left), file.path)


def node_options(
    settings: Settings,
    process: ProcessOptions,
    file: "Config | None",
    *,
    id_file: Path | None = None,
    passing: bool = False,
) -> dict[str, Any]:
    """Arguments for NodeOptions. Raises UsageError.

    A `passing` run (a client) comes and goes beside one that stays, whose ports are not for it.
    """
    node = NodeSection() if file is None else file.node
    if passing:
        node = replace(node, udp_ports=None, tcp_port=None)
    node = with_typed(NODE, node, settings.typed)
    if node.proxy is None:
        node = replace(node, proxy=proxy_of(os.environ))
    if node.proxy is not None and (node.udp_ports is not None or node.tcp_port):
        raise UsageError(
            f"-u and -t open ports, but all traffic is to go through {node.proxy}: leave out one or the other"
        )
    return {
        **{each.name: getattr(node, each.name) for each in fields(node)},
        **process.as_arguments(),
        "directory": settings.directory,
        "id_file": id_file,
        "toxcore_log": settings.debug > 1,
    }


def proxy_of(environ: Mapping[str, str]) -> "Proxy | None":
    """The proxy of the environment. Raises UsageError if it cannot be used: going direct would be a leak."""
    for name in PROXY_VARIABLES:
        if environ.get(name):
            from ..tox.proxy import parse_proxy

            try:
                return parse_proxy(environ[name])
            except ValueError as failure:
                raise UsageError(f"${name} (unset it to go without): {failure}") from None
    return None


def start(options: "DaemonOptions | ClientOptions") -> int:
    """Runs it; returns the exit code."""
    from .. import daemon  # the compiled parts too: only when it is clear what to do
    from ..config.options import ClientOptions

    if isinstance(options, ClientOptions):
        return daemon.run_client(options)
    return daemon.run_daemon(options)
