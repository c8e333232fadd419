"""What a reload has changed, a line each for a person. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .file import Config
from .policy import Policy


@dataclass(frozen=True, slots=True)
class InForce:
    config: Config
    policy: Policy


def changes(old: InForce, new: InForce) -> Iterator[str]:
    """What took effect at once."""
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
        yield f"what comes to {listen} goes elsewhere now"
    if (old.config.server, old.policy.authority.secret) != (new.config.server, new.policy.authority.secret):
        yield "[server] changed"
    if _vpn_name(old.config) != _vpn_name(new.config):
        yield f"our name is {_vpn_name(new.config) or '(none)'}"


def needs_restart(started: Config, new: Config) -> Iterator[str]:
    """What differs from the start and stays as it was; told by each reload."""
    if started.node != new.node:
        yield "[node] changed: that takes a restart"
    if (started.vpn is None) != (new.vpn is None):
        yield f"[vpn] was switched {'off' if new.vpn is None else 'on'}: that takes a restart"
    elif started.vpn is not None and new.vpn is not None:
        for key in ("address", "mtu", "interface", "offload"):
            if getattr(started.vpn, key) != getattr(new.vpn, key):
                yield f"vpn.{key} changed: that takes a restart"


def _gone(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in old if name not in new]


def _altered(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name, what in new.items() if name in old and old[name] != what]


def _peers(now: InForce) -> dict[str, Any]:
    """With their secrets, which may change while the file that names them does not."""
    return {name: (peer, now.policy.peers[name]) for name, peer in now.config.peers.items()}


def _forwards(now: InForce) -> dict[str, Any]:
    return {str(each.listen): (each.peer, each.target) for each in now.config.forwards}


def _vpn_name(config: Config) -> str | None:
    return config.vpn.name if config.vpn is not None else None
