"""Decides what a friend may do here. Being a friend is not enough: a peer that we call is one too.

In: the configuration in force, and what a person or a secret has granted the friend. Out: which targets it
may reach by forwards, and whether it is on the network ("Who may do what" in docs/configuration.md).
"""

from dataclasses import dataclass

from ..members.friends import Grant
from ..members.peers import May
from ..tcpforward.rules import Rules
from .diff import InForce
from .model import Config
from .policy import NOTHING

BY_THE_SERVERS_TERMS = frozenset({Grant.SECRET, Grant.OPEN, Grant.WHITELIST})


@dataclass(frozen=True, slots=True)
class Known:
    """A friend: the grant that let it in, and what a person allowed it (None: nothing was stated)."""

    public_key: bytes
    grant: Grant | None = None
    may: frozenset[May] | None = None


def may_reach(now: InForce, friend: Known) -> Rules:
    """The targets it may reach by forwards. A whitelist does not bind peers with an `allow` of their own."""
    config, key = now.config, friend.public_key
    own = now.policy.grants.get(key)
    if own is not None:
        return own
    server = config.server
    if server is None or (server.whitelist and key not in server.whitelist):
        return NOTHING
    named = server.open or key in config_keys(config) or May.FORWARDS in (friend.may or ())
    listed = key in server.whitelist and now.policy.authority.secret is None
    return now.policy.rules if named or listed or friend.grant in BY_THE_SERVERS_TERMS else NOTHING


def on_network(now: InForce, friend: Known) -> bool:
    """Whether it is on the network; not if it came in by the secret, or `open`, of [server]."""
    for peer in now.config.peers.values():
        if peer.public_key == friend.public_key:
            return peer.vpn
    if friend.may is not None:
        return May.VPN in friend.may
    return now.config.server is None


def behind(now: InForce, public_key: bytes) -> bool:
    """Whether it may reach what lies behind this machine: only where an `allow` says what."""
    return bool(now.policy.grants.get(public_key, NOTHING).rules)


def may_exit(now: InForce, public_key: bytes) -> bool:
    """Whether it may reach the Internet through this machine: only where its section says so."""
    return any(peer.may_exit for peer in now.config.peers.values() if peer.public_key == public_key)


def offered(config: Config) -> frozenset[May]:
    """The uses that this machine offers; an invite grants all of them, unless it states others."""
    sections = {May.FORWARDS: config.server, May.VPN: config.vpn}
    return frozenset(may for may, section in sections.items() if section is not None)


def config_keys(config: Config) -> set[bytes]:
    return {peer.public_key for peer in config.peers.values()}
