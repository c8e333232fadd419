"""The capabilities that a run of root keeps once it is on the network: usually two at the most.

NET_ADMIN is for the VPN's addresses and routes, NET_BIND_SERVICE for ports below 1024, as that of the DNS
server, which moves with our addresses. Without the others,
root is bound by the modes of files like any user, which is enough for files of its own. Where some are in
another user's directory (`sudo toxvpn up -C ~/net`), it keeps the rights over files as well.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from ..config.flags import DaemonOptions
from ..config.model import Config
from ..config.options import ClientOptions, NodeOptions
from ..linux import Capability
from ..state.places import find_places
from ..tcpforward.spec import Listen
from ..wire.ports import FIRST_FREE_PORT

OVER_FILES = frozenset({Capability.CHOWN, Capability.DAC_OVERRIDE, Capability.FOWNER})


def needs(options: NodeOptions) -> set[Capability]:
    config = options.config if isinstance(options, DaemonOptions) else Config()
    keep: set[Capability] = set()
    if isinstance(options, DaemonOptions) and options.user_network is not None:
        keep.add(Capability.SETFCAP)  # until root is mapped into its user namespace
    elif config.vpn is not None:
        keep.add(Capability.NET_ADMIN)
        if config.vpn.has_names:
            keep.add(Capability.NET_BIND_SERVICE)
    if any(0 < port < FIRST_FREE_PORT for port in ports(options, config)) or listens_low(config):
        keep.add(Capability.NET_BIND_SERVICE)
    if options.user is None and any(map(is_others, files(options, config))):
        keep |= OVER_FILES
    return keep


def ports(options: NodeOptions, config: Config) -> Iterable[int]:
    """The ports that it may listen on."""
    yield from (options.tcp_port or 0, options.metrics_port or 0, *(options.udp_ports or ()))
    if isinstance(options, ClientOptions):
        yield from (listen.port for listen, _ in options.listens if isinstance(listen, Listen))
    yield from (each.listen.port for each in config.forwards if isinstance(each.listen, Listen))


def listens_low(config: Config) -> bool:
    """Whether a peer may have it listen on a port below 1024."""
    sections = (config.server, *config.peers.values())
    rules = [each.allow_listen for each in sections if each is not None and each.allow_listen is not None]
    return any(each.names_privileged_port for each in rules)


def files(options: NodeOptions, config: Config) -> Iterable[Path]:
    """The files that it reads or writes later than at its start."""
    if options.keeps_state:
        places = find_places(options.directory)
        yield from (places.data, places.state, places.runtime)
    if options.pid_file is not None:
        yield options.pid_file
    if isinstance(options, DaemonOptions):
        yield from options.source.files
    secrets = [peer.secret_file for peer in config.peers.values()]
    if config.server is not None:
        secrets.append(config.server.secret_file)
    yield from filter(None, secrets)


def is_others(path: Path) -> bool:
    """Whether the file, or a directory above it, belongs to a user other than root."""
    real = Path(os.path.realpath(path))
    for place in (real, *real.parents):
        try:
            if place.stat().st_uid != 0:
                return True
        except OSError:  # it is not there yet
            continue
    return False
