"""--config: which config.toml a run has, and what it says of the node where no flag does.

Nothing of it is loaded where there is no such file: a client is in a hurry.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..state.places import find_config
from .process_flags import Process
from .shared import PATH, Settings, flag

if TYPE_CHECKING:
    from ..config.file import Config

log = logging.getLogger("toxvpn.cli")

FILE_NAME = "config.toml"

CONFIG = flag("Common", "--config", "config_file", metavar="FILE", type=PATH,
              help="The configuration. [default: config.toml in -C DIR, or the usual place]")  # fmt: skip


def config_path(settings: Settings, typed: Path | None) -> Path:
    return (typed or find_config(settings.directory) / FILE_NAME).absolute()


def find_configuration(settings: Settings, typed: Path | None) -> "Config | None":
    """None when there is none and none was asked for. Raises ConfigError."""
    path = config_path(settings, typed)
    if typed is None and not path.exists():
        return None
    from ..config.file import load

    return load(path)


def tell_left_out(config: "Config | None", *sections: str) -> None:
    """What this kind of run does not do of what the file says: somebody may wait for it."""
    left = [f"[{name}]" for name in sections if config is not None and getattr(config, name)]
    if left and config is not None:
        log.info("%s is left out here: `toxvpn run` does all of %s", " and ".join(left), config.source)


def node_options(
    settings: Settings,
    process: Process,
    config: "Config | None",
    *,
    id_file: Path | None,
    udp_ports: str | None,
    tcp_port: str | None,
    passing: bool = False,
) -> dict[str, Any]:
    """Arguments for the options of every kind of run. Raises UsageError.

    A `passing` run (a client) comes and goes beside one that stays, whose ports are not for it, and is
    not reloaded.
    """
    node = None if config is None else config.node
    own = None if passing else node
    return {
        "config_file": None if config is None or passing else config.source,
        "directory": settings.directory,
        "nodes_file": settings.nodes_file or (node and node.nodes_file),
        "id_file": id_file,
        "udp_ports": (own and own.udp_ports) if udp_ports is None else parse_udp_ports(udp_ports),
        "tcp_port": (own and own.tcp_port) if tcp_port is None else parse_tcp_port(tcp_port),
        "toxcore_log": settings.debug > 1,
        "udp_segmentation": node and node.udp_segmentation,
        **process.options(None if node is None else node.proxy),
    }


def parse_udp_ports(text: str) -> tuple[int, int]:
    """`FIRST:LAST`, or one port."""
    first, _, last = text.partition(":")
    ports = [
        int(part) for part in (first, last or first) if part.isascii() and part.isdigit() and len(part) < 6
    ]
    if len(ports) != 2 or not 0 < ports[0] <= ports[1] < 65536 or text.endswith(":"):
        raise UsageError(f"-u {text!r}: expected FIRST:LAST, two port numbers from 1 to 65535")
    return ports[0], ports[1]


def parse_tcp_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536):
        raise UsageError(f"-t {text!r}: expected a port number from 1 to 65535, or 0 for no relay")
    return int(text)
