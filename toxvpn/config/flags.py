"""The configuration in force: the flags, and config.toml where no flag says otherwise.

A ConfigSource knows where a run's configuration comes from: the file, the flags, and the kind of run. Each
kind uses its sections of the file: the server [server], `up` [vpn], `run` all of them; and each uses [peers].
It makes the Config in force at the start, and again at each reload.
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from ..errors import UsageError
from ..members.peers import ConfiguredPeer
from ..tcpforward.remote.rules import ListenRules
from ..tcpforward.rules import Rules, load_rules
from .file import load
from .keys import Typed, with_typed
from .model import Config
from .options import NodeOptions
from .peers import PeerSection
from .server import SERVER, ServerSection
from .vpn import VPN, VpnSection


class RunKind(Enum):
    """The kinds of run that have an identity and peers, and can be reloaded."""

    SERVER = "toxvpn"
    UP = "toxvpn up"
    RUN = "toxvpn run"


LEFT_OUT = {
    RunKind.SERVER: ("vpn", "forwards", "remote_forwards"),
    RunKind.UP: ("server", "forwards", "remote_forwards"),
    RunKind.RUN: (),
}
"""The sections of the file that a kind of run has no use for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSource:
    """Where the configuration of a run comes from.

    `rules_file` is -f. `secret` was given for this run (-s, --secret-file, the environment).
    """

    kind: RunKind
    file: Path | None = None
    typed: Typed = field(default_factory=dict)
    secret: bytes | None = field(default=None, repr=False)
    rules_file: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that a reload reads again; without any, there is nothing to reload."""
        return tuple(path for path in (self.file, self.rules_file) if path is not None)

    def read(self) -> Config:
        """Reads the files again. Raises ConfigError, or UsageError when there are none."""
        if not self.files:
            raise UsageError(
                "it runs without config.toml and without -f FILE: there is nothing to read again"
            )
        return self.in_force(Config() if self.file is None else load(self.file))

    def in_force(self, file: Config) -> Config:
        """The configuration in force when the file says `file`. Raises ConfigError: the file of -f."""
        config = replace(file, secret=self.secret)
        if self.kind is RunKind.SERVER:
            server = self._server(file.server or ServerSection())
            peers = {name: self._narrowed(server, peer) for name, peer in file.peers.items()}
            return replace(config, server=server, vpn=None, peers=peers, forwards=(), remote_forwards=())
        if self.kind is RunKind.UP:
            vpn = with_typed(VPN, file.vpn or VpnSection(), self.typed)
            return replace(config, server=None, vpn=vpn, forwards=(), remote_forwards=())
        return config

    def _server(self, section: ServerSection) -> ServerSection:
        """--open overrides the file's secret and whitelist, and a secret or -i overrides its `open`."""
        if self.typed.get("server.open"):
            section = replace(section, whitelist=frozenset(), secret_file=None)
        elif self.typed.get("server.whitelist") or self.secret is not None:
            section = replace(section, open=False)
        if self.rules_file is not None:
            section = replace(section, allow=load_rules(self.rules_file))
        return with_typed(SERVER, section, self.typed)

    def _narrowed(self, server: ServerSection, peer: PeerSection) -> PeerSection:
        """The peer with no more targets than -i and -f allow."""
        whitelist = self.typed.get("server.whitelist")
        if whitelist and peer.public_key not in whitelist:
            return replace(peer, allow=Rules(()), allow_listen=ListenRules())
        if self.rules_file is not None and peer.allow is not None:
            return replace(peer, allow=replace(peer.allow, within=server.allow))
        return peer


@dataclass(frozen=True, slots=True, kw_only=True)
class UserNetwork:
    """The VPN is in a namespace of the user's (usernet/), which commands enter.

    `internet`: with a way to the Internet. `command`: the network ends with that process and those that enter
    it later; None: it lasts until the run is stopped.
    """

    internet: bool = False
    command: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions(NodeOptions):
    """The options of `toxvpn` alone, `up` and `run`, which serve until they are stopped.

    `config` is in force at the start, unless `-U` names a user; `source` reads it again for a reload. `peers`
    are for this run only. `user_network` None: the VPN is this machine's.
    """

    source: ConfigSource
    config: Config
    peers: tuple[ConfiguredPeer, ...] = ()
    user_network: UserNetwork | None = None

    @property
    def has_fast_road(self) -> bool:
        return self.source.kind is not RunKind.UP

    def config_as_user(self) -> Config:
        """The configuration in force, as the user whom `-U` names sees it, once this process is that user.

        Its `~` is another directory, root's checks are not for it, and a reload will read the files with its
        permissions. Raises ConfigError.
        """
        return self.config if self.user is None or not self.source.files else self.source.read()
