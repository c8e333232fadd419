"""The options of one run, as frozen values.

The command line (cli/) makes them; the daemon makes everything else from them. Those of runs that serve are
in flags.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..tcpforward.remote.spec import RemoteForward
from ..tcpforward.spec import AnyListen, Forward, RoadPolicy, Target
from ..wire.invite import Invite
from ..wire.toxid import ToxId
from .node import NodeSection

O = TypeVar("O", bound="NodeOptions")  # noqa: E741


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions(NodeSection):
    """How to be on the Tox network, as [node] and the flags say, and how the process is to run.

    `directory` is -C; without it a server uses the usual places and a client a passing identity.
    """

    directory: Path | None = None
    id_file: Path | None = None
    toxcore_log: bool = False
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
    """The same options, for a process that changes its working directory."""
    values: dict[str, Any] = {each.name: getattr(options, each.name) for each in fields(options)}
    paths: Any = {name: value.absolute() for name, value in values.items() if isinstance(value, Path)}
    return replace(options, **paths)


@dataclass(frozen=True, slots=True)
class SpeedRequest:
    """`toxvpn speed`: `seconds` in each direction. `tell` shows how it goes, and at last the result."""

    seconds: float
    tell: Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions(NodeOptions):
    """A client: forwards and SOCKS5 proxies together, or the pipe, the ping or the speed test alone.

    `invite` goes into the friend request. `kept`: with the identity of the usual places, not a passing one.
    `name`: of the server, for the log; it makes no difference between two nodes.
    `share`: on a node that other commands of this user to this server use too, where that is possible.
    `typed_secret`: the secret is not the configuration's, by which the toxvpn that runs here was let in.
    """

    server: ToxId
    secret: bytes | None = field(default=None, repr=False)
    invite: Invite | None = field(default=None, repr=False)
    kept: bool = False
    forwards: tuple[Forward, ...] = ()
    socks: tuple[AnyListen, ...] = ()
    remotes: tuple[RemoteForward, ...] = ()
    pipe: Target | None = None
    ping: bool = False
    speed: SpeedRequest | None = None
    road: RoadPolicy = RoadPolicy.AUTO
    share: bool = True
    name: str | None = field(default=None, compare=False)
    typed_secret: bool = field(default=False, compare=False)

    @property
    def may_use_run(self) -> bool:
        """Whether the toxvpn that runs here will do, where it has the peer: it chose its secret and road."""
        return not self.typed_secret and self.road is RoadPolicy.AUTO

    @property
    def keeps_state(self) -> bool:
        return self.kept or self.directory is not None

    @property
    def has_fast_road(self) -> bool:
        return self.road is not RoadPolicy.TUNTOX

    @property
    def listens(self) -> list[tuple[AnyListen, Target | None]]:
        """Where to listen, and the target; None: what a SOCKS5 client asks for. Each is of one protocol."""
        forwards = [(each, forward.target) for forward in self.forwards for each in forward.listen.each()]
        return [*forwards, *((listen, None) for listen in self.socks)]
