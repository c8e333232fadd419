"""The rules of the configuration: which peers are let in, and what they may reach.

In: the Config, and the secret files that it names. Out: values for members/roster.py and
tcpforward/server.py. Deny by default: without [server] only what single peers are granted is reachable.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from ..members.friends import Authority
from ..members.peers import ConfiguredPeer
from ..state.secretfile import SECRET_NAME, kept_secret, read_secret_file
from ..tcpforward.rules import Rules
from .model import Config

NOTHING = Rules(())
EVERYTHING = Rules()


@dataclass(frozen=True, slots=True)
class Policy:
    """`peers` by their names in the file; `rules` are for all that have none in `grants` (by public key).

    `addresses`: on the VPN, also by public key, those that need not follow from the key. `fresh_secret`:
    the one that is kept has just been made.
    """

    authority: Authority = field(repr=False)
    peers: Mapping[str, ConfiguredPeer] = field(repr=False)
    rules: Rules
    grants: Mapping[bytes, Rules]
    addresses: Mapping[bytes, IPv4Address]
    fresh_secret: bool = False


def policy(config: Config, data: Path) -> Policy:
    """`data` is where a secret of our own is kept. Raises ConfigError, NoPermissionError, ToxvpnError."""
    rules = NOTHING if config.server is None else config.server.allow or EVERYTHING
    grants = {peer.public_key: peer.allow for peer in config.peers.values() if peer.allow is not None}
    addresses = {peer.public_key: peer.address for peer in config.peers.values() if peer.address is not None}
    fresh = makes_secret(config) and not (data / SECRET_NAME).exists()
    return Policy(authority(config, data), peers(config), rules, grants, addresses, fresh)


def authority(config: Config, data: Path) -> Authority:
    server = config.server
    secret = config.secret
    if server is None:
        return Authority(secret=secret)
    if secret is None and server.secret_file is not None:
        secret = read_secret_file(server.secret_file, config.owner)
    if makes_secret(config):
        secret = kept_secret(data)[0]
    return Authority(whitelist=server.whitelist, secret=secret, open=server.open)


def makes_secret(config: Config) -> bool:
    """Whether this is a server whose configuration lets nobody in: it then makes a secret, and keeps it."""
    server = config.server
    if server is None or server.open:
        return False
    return not (config.secret or server.secret_file or server.whitelist or config.peers)


def peers(config: Config) -> dict[str, ConfiguredPeer]:
    """Raises ConfigError, NoPermissionError: a secret file."""
    return {
        name: ConfiguredPeer(
            peer.public_key,
            peer.nospam,
            name,
            secret=read_secret_file(peer.secret_file, config.owner) if peer.secret_file else None,
            routes=peer.routes,
        )
        for name, peer in config.peers.items()
    }
