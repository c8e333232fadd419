"""What one run is to do, as frozen values, whoever said it.

Made by the command line (cli/options.py); read by the daemon, which makes everything else from it.
"""

from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, TypeVar

from ..members.known import ConfiguredPeer
from ..tcpforward.spec import Forward, Listen, RoadPolicy, Target
from ..tox.proxy import Proxy
from ..wire.invite import Invite
from ..wire.toxid import ToxId

INTERFACE = "toxvpn0"

O = TypeVar("O", bound="NodeOptions")  # noqa: E741


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How to be on the Tox network, and what the process is to be: in the background, another user's.

    `directory` is -C; without it a server uses the usual places and a client a passing identity.
    `udp_ports` (first, last) and `tcp_port` are None when nobody cares; a tcp_port of 0 is "no relay".
    `udp_segmentation` (several datagrams a system call) None: where the kernel does it right.
    `config_file` None: there is none. What it says of the node is in these options already; what the run
    is to do beside them is read from it again at each reload (config/flags.py).
    """

    config_file: Path | None = None
    directory: Path | None = None
    nodes_file: Path | None = None
    id_file: Path | None = None
    secret: bytes | None = field(default=None, repr=False)
    udp_ports: tuple[int, int] | None = None
    tcp_port: int | None = None
    toxcore_log: bool = False
    proxy: Proxy | None = None
    udp_segmentation: bool | None = None
    daemonize: bool = False
    pid_file: Path | None = None
    user: str | None = None
    metrics_port: int | None = None

    @property
    def keeps_state(self) -> bool:
        """Whether the run has directories of its own, and not just a passing identity."""
        return True

    @property
    def has_fast_road(self) -> bool:
        """Whether the run wants a private stack (tcpforward/fast/stack.py)."""
        return True


def with_absolute_paths(options: O) -> O:
    """The same for a process with another working directory."""
    values: dict[str, Any] = {each.name: getattr(options, each.name) for each in fields(options)}
    paths: Any = {name: value.absolute() for name, value in values.items() if isinstance(value, Path)}
    return replace(options, **paths)


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
    """`toxvpn -i ID ...`: forwards and SOCKS5 proxies together, or the pipe alone, or the ping alone.

    `invite` is what to ask the server with. `kept`: with the identity of the usual places, not a passing one.
    `share`: on a node that other commands of this user to this server use too, where that can be.
    """

    server: ToxId
    invite: Invite | None = field(default=None, repr=False)
    kept: bool = False
    forwards: tuple[Forward, ...] = ()
    socks: tuple[Listen, ...] = ()
    pipe: Target | None = None
    ping: bool = False
    road: RoadPolicy = RoadPolicy.AUTO
    share: bool = True

    @property
    def keeps_state(self) -> bool:
        return self.kept or self.directory is not None

    @property
    def has_fast_road(self) -> bool:
        return self.road is not RoadPolicy.TUNTOX

    @property
    def listens(self) -> list[tuple[Listen, Target | None]]:
        """Where to listen, and the target; None: what a SOCKS5 client asks for."""
        forwards = [(forward.listen, forward.target) for forward in self.forwards]
        return [*forwards, *((listen, None) for listen in self.socks)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions(NodeOptions):
    """`toxvpn up`: a network of its own with the configured peers and, for this run only, `peers`.

    `name` is what we call ourselves to them. `address` None: the one that follows from our key; a bare
    address has a prefix of 32 bits. `mtu` (bytes) None: the largest that one packet carries. `interface`
    None: INTERFACE. `offload` False: the kernel gets and gives every packet by itself.
    """

    peers: tuple[ConfiguredPeer, ...] = ()
    name: str | None = None
    address: IPv4Interface | None = None
    mtu: int | None = None
    interface: str | None = None
    offload: bool | None = None

    @property
    def has_fast_road(self) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(NodeOptions):
    """`toxvpn run`: everything that the file switches on, in one process with one identity."""

    config_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions(NodeOptions):
    """`toxvpn doctor`: `directory` has the identity to use, None takes a passing one.

    `runtime` is where a running toxvpn that knows the peer has its control socket. `timeout_s` is for
    getting on the network, and once more for reaching the peer.
    """

    peer: ConfiguredPeer | None = None
    target: Target | None = None
    runtime: Path | None = None
    timeout_s: float = 60.0
