"""What one run is to do, as frozen values, whoever said it.

Made by the command line (cli/options.py); read by the daemon, which makes everything else from it.
"""

from dataclasses import dataclass, field
from pathlib import Path

from .tcpforward.spec import Forward, Listen, Road, Target
from .wire.toxid import ToxId


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How to be on the Tox network.

    `directory` is -C; without it a server uses the usual places and a client a passing identity.
    `udp_ports` (first, last) and `tcp_port` are None when nobody cares; a tcp_port of 0 is "no relay".
    """

    directory: Path | None = None
    nodes_file: Path | None = None
    id_file: Path | None = None
    secret: bytes | None = field(default=None, repr=False)
    udp_ports: tuple[int, int] | None = None
    tcp_port: int | None = None
    toxcore_log: bool = False
    daemonize: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions(NodeOptions):
    """`toxvpn` alone: let others through to what `rules_file` allows (None: everything).

    With neither `secret` nor `whitelist` (32-byte keys) nor `open`, the server keeps a secret of its own.
    """

    whitelist: frozenset[bytes] = frozenset()
    open: bool = False
    rules_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions(NodeOptions):
    """`toxvpn -i ID ...`: forwards and SOCKS5 proxies together, or the pipe alone, or the ping alone."""

    server: ToxId
    forwards: tuple[Forward, ...] = ()
    socks: tuple[Listen, ...] = ()
    pipe: Target | None = None
    ping: bool = False
    road: Road = Road.AUTO
