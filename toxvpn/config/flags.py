"""What a run is to do: the flags, and config.toml where they say nothing.

In: the options of `toxvpn` alone, `up` or `run`. Out: the Config in force, from which daemon/ makes the
parts. Asked at the start and at each reload. Each kind of run takes its part of the file: the server
what is about serving, `up` what is about the network, `run` everything. The peers are everybody's.
"""

from dataclasses import fields, replace
from typing import TypeVar

from ..tcpforward.rules import Rules, load_rules
from .file import Config, PeerSection, ServerSection, VpnSection, load
from .options import RunOptions, ServerOptions, UpOptions

T = TypeVar("T")

Staying = ServerOptions | UpOptions | RunOptions
"""The kinds of run that have an identity and peers, and can be reloaded."""


def read(options: Staying) -> Config:
    """Raises ConfigError: the file, or that of -f."""
    config = Config() if options.config_file is None else load(options.config_file)
    config = replace(config, secret=options.secret)
    if isinstance(options, RunOptions):
        return config
    if isinstance(options, ServerOptions):
        server = _server(options, config.server)
        peers = {name: _narrowed(options, server, peer) for name, peer in config.peers.items()}
        return replace(config, server=server, vpn=None, peers=peers, forwards=())
    peers = {name: replace(peer, allow=None) for name, peer in config.peers.items()}
    return replace(config, server=None, vpn=_vpn(options, config.vpn), peers=peers, forwards=())


def _server(flags: ServerOptions, file: ServerSection | None) -> ServerSection:
    """--open takes the file's secret and whitelist away, and a secret or -i its `open`."""
    section = file or ServerSection()
    if flags.open:
        section = replace(section, open=True, whitelist=frozenset(), secret_file=None)
    elif flags.whitelist or flags.secret is not None:
        section = replace(section, open=False, whitelist=flags.whitelist or section.whitelist)
    if flags.rules_file is not None:
        section = replace(section, allow=load_rules(flags.rules_file))
    return section


def _narrowed(flags: ServerOptions, server: ServerSection, peer: PeerSection) -> PeerSection:
    """Of what the file lets it reach, only what -i and -f leave."""
    if flags.whitelist and peer.public_key not in flags.whitelist:
        return replace(peer, allow=Rules(()))
    if flags.rules_file is not None and peer.allow is not None:
        return replace(peer, allow=replace(peer.allow, within=server.allow))
    return peer


def _vpn(flags: UpOptions, file: VpnSection | None) -> VpnSection:
    section = file or VpnSection()
    typed = {each.name: getattr(flags, each.name) for each in fields(VpnSection)}
    return replace(section, **{name: value for name, value in typed.items() if value is not None})
