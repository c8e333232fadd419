"""Decides what a friend may do here. Being a friend is not enough: a peer that we call is one too.

In: the configuration in force, and what a person or a secret has granted the friend. Out: which targets it
may reach by forwards, whether it is on the network, and what it may begin there ("Who may do what" in
docs/configuration.md).
"""

import functools
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..errors import UsageError
from ..members.friends import Grant
from ..members.peers import Allow, May
from ..tcpforward.remote.rules import NOTHING as NOWHERE
from ..tcpforward.remote.rules import ListenRules
from ..tcpforward.rules import Rules, parse_rule
from .diff import InForce
from .model import Config
from .peers import PeerSection
from .policy import NOTHING

log = logging.getLogger("toxvpn.tun")

ALL_HERE = Rules((parse_rule("localhost:*"),))

BY_THE_SERVERS_TERMS = frozenset({Grant.SECRET, Grant.OPEN, Grant.WHITELIST})


@dataclass(frozen=True, slots=True)
class Known:
    """A friend: the grant that let it in, and what a person allowed it (None: nothing was stated).

    `may` are its rights, `allow` the rules for what it may reach, and `closed`: without rules it reaches
    nothing over the VPN.
    """

    public_key: bytes
    grant: Grant | None = None
    may: frozenset[May] | None = None
    allow: Allow | None = None
    closed: bool = False


def may_reach(now: InForce, friend: Known) -> Rules:
    """The targets it may reach by forwards. A whitelist does not bind peers of the file with an `allow`."""
    config, key = now.config, friend.public_key
    own = now.policy.grants.get(key)
    if own is not None:
        return own
    server = config.server
    if server is None or (server.whitelist and key not in server.whitelist):
        return NOTHING
    named = server.open or key in config_keys(config) or May.FORWARDS in (friend.may or ())
    listed = key in server.whitelist and now.policy.authority.secret is None
    if not (named or listed or friend.grant in BY_THE_SERVERS_TERMS):
        return NOTHING
    if friend.allow is None or key in config_keys(config):
        return now.policy.rules
    return replace(kept_rules(friend.allow), within=now.policy.rules)


def may_listen(now: InForce, friend: Known) -> ListenRules:
    """Where this machine may listen for it: as its section says, else [server] for those who use that.

    Not so for peers that were invited, accepted or added by a command: for those a person writes a section.
    """
    section = _section(now, friend.public_key)
    if section is not None and section.allow_listen is not None:
        return section.allow_listen
    server = now.config.server
    if server is None or may_reach(now, friend) == NOTHING:
        return NOWHERE
    listed = friend.public_key in server.whitelist and now.policy.authority.secret is None
    if section is not None or server.open or listed or friend.grant in BY_THE_SERVERS_TERMS:
        return server.allow_listen or NOWHERE
    return NOWHERE


def on_network(now: InForce, friend: Known) -> bool:
    """Whether it is on the network; not if it came in by the secret, or `open`, of [server]."""
    for peer in now.config.peers.values():
        if peer.public_key == friend.public_key:
            return peer.vpn
    if friend.may is not None:
        return May.VPN in friend.may
    return now.config.server is None


def reach(now: InForce, friend: Known) -> Rules | None:
    """What it may begin over the VPN; None: all of this machine, and nothing behind it.

    Rules that say just that are for a machine that others lie behind: what those begin is answered. A section
    of the file overrides what is kept.
    """
    section = _section(now, friend.public_key)
    if section is not None and section.allow is not None:
        return section.allow
    if section is None and friend.allow is not None:
        return kept_rules(friend.allow)
    if section is None and friend.closed:
        return NOTHING
    vpn = now.config.vpn
    return ALL_HERE if vpn is not None and vpn.advertise else None


@functools.cache
def kept_rules(allow: Allow) -> Rules:
    """The rules in peers.json. A line that cannot be read allows nothing."""
    found = []
    for line in allow:
        try:
            found.append(parse_rule(line))
        except ValueError as failure:
            log.error("peers.json: %s", failure)
    return Rules(tuple(found))


def checked_allow(lines: Iterable[str]) -> Allow:
    """The rules that a person has typed. Raises UsageError for one that cannot be read."""
    found = tuple(line.strip() for line in lines)
    try:
        for line in found:
            parse_rule(line)
    except ValueError as failure:
        raise UsageError(f"rule {failure}") from None
    return found


def may_exit(now: InForce, public_key: bytes) -> bool:
    """Whether it may reach the Internet through this machine: only where its section says so."""
    return any(peer.may_exit for peer in now.config.peers.values() if peer.public_key == public_key)


def may_speed(now: InForce, friend: Known) -> bool:
    """Whether it may test the speed of the path. Who came by the secret alone may not, unless told so."""
    config, key = now.config, friend.public_key
    section = next((each for each in config.peers.values() if each.public_key == key), None)
    if section is not None and section.allow_speed is not None:
        return section.allow_speed
    server = config.server
    if server is not None and server.allow_speed is not None:
        return server.allow_speed
    named = section is not None or bool(friend.may) or (server is not None and key in server.whitelist)
    return named or on_network(now, friend)


def offered(config: Config) -> frozenset[May]:
    """The uses that this machine offers; an invite grants all of them, unless it states others."""
    sections = {May.FORWARDS: config.server, May.VPN: config.vpn}
    return frozenset(may for may, section in sections.items() if section is not None)


def config_keys(config: Config) -> set[bytes]:
    return {peer.public_key for peer in config.peers.values()}


def _section(now: InForce, public_key: bytes) -> PeerSection | None:
    return next((each for each in now.config.peers.values() if each.public_key == public_key), None)
