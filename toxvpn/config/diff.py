"""Describes what a reload has changed, a line each for a person. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .keys import Section
from .model import Config
from .node import NODE
from .policy import Policy
from .vpn import VPN


@dataclass(frozen=True, slots=True)
class InForce:
    config: Config
    policy: Policy


def changes(old: InForce, new: InForce) -> Iterator[str]:
    """Describes what took effect at once."""
    for name in _gone(_peers(old), _peers(new)):
        yield f"peer {name} removed"
    for name in _gone(_peers(new), _peers(old)):
        yield f"peer {name} added"
    for name in _altered(_peers(old), _peers(new)):
        yield f"peer {name} changed"
    for listen in _gone(_forwards(old), _forwards(new)):
        yield f"no longer listening on {listen}"
    for listen in _gone(_forwards(new), _forwards(old)):
        yield f"listening on {listen}"
    for listen in _altered(_forwards(old), _forwards(new)):
        yield f"connections to {listen} go elsewhere now"
    for forward in _gone(_remote(old), _remote(new)):
        yield f"no longer asking for {forward}"
    for forward in _gone(_remote(new), _remote(old)):
        yield f"asking for {forward}"
    if (old.config.server, old.policy.authority.secret) != (new.config.server, new.policy.authority.secret):
        yield "[server] changed"
    for path in _differing(NODE, old.config.node, new.config.node, restart=False):
        yield f"{path} changed"
    for path in _differing(VPN, old.config.vpn, new.config.vpn, restart=False):
        yield f"{path} changed"


def needs_restart(started: Config, new: Config) -> Iterator[str]:
    """Describes what differs from the start but only a restart can change; each reload repeats it."""
    for path in _differing(NODE, started.node, new.node, restart=True):
        yield f"{path} changed: that takes a restart"
    if (started.vpn is None) != (new.vpn is None):
        yield f"[vpn] was switched {'off' if new.vpn is None else 'on'}: that takes a restart"
    for path in _differing(VPN, started.vpn, new.vpn, restart=True):
        yield f"{path} changed: that takes a restart"


def _differing(section: Section, old: Any, new: Any, *, restart: bool) -> list[str]:
    """The paths of the keys of that kind whose values differ; none if the section itself came or went."""
    if old is None or new is None:
        return []
    return [
        section.path(name)
        for name, key in section.keys.items()
        if key.restart is restart and getattr(old, name) != getattr(new, name)
    ]


def _gone(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in old if name not in new]


def _altered(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name, what in new.items() if name in old and old[name] != what]


def _peers(now: InForce) -> dict[str, Any]:
    """The peers with their secrets, which may change although the file that names them does not."""
    return {name: (peer, now.policy.peers[name]) for name, peer in now.config.peers.items()}


def _forwards(now: InForce) -> dict[str, Any]:
    return {str(each.listen): (each.peer, each.target, each.mode) for each in now.config.forwards}


def _remote(now: InForce) -> dict[str, Any]:
    return {f"{each.listen} of {each.peer} -> {each.target}": None for each in now.config.remote_forwards}
