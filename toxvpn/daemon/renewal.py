"""Replaces the secret that lets others in, when somebody knows it who should not know it.

Versions up to 0.1 asked every peer with the server's own secret, and so gave it to each peer they called. A
run that finds the state of such a version warns once (members/friends.py remembers that).
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from ..config.model import Config
from ..config.policy import makes_secret, policy
from ..errors import UsageError
from ..members.peers import ConfiguredPeer
from ..report.welcome import client_commands
from ..state.secretfile import new_secret

log = logging.getLogger("toxvpn")


def renew(config: Config, data: Path) -> None:
    """Makes a new secret in `data`. Raises UsageError when toxvpn has not made the present one."""
    if not makes_secret(config):
        raise UsageError(f"toxvpn has not made a secret here that it could renew: {how_to_renew(config)}")
    new_secret(data)


def renew_offline(config: Config, data: Path, tox_id: str) -> tuple[str, str]:
    """Makes a new secret for the next start of a server with that `config`.

    Returns what to type on the other side (report/welcome.py). Raises as `renew`.
    """
    renew(config, data)
    return client_commands(tox_id, config, policy(config, data), data)


def warn_if_out(config: Config, called: Iterable[ConfiguredPeer]) -> None:
    """`called` are the peers that we ask to let us in, which earlier versions did with that secret."""
    names = ", ".join(peer.short for peer in called if peer.secret is None)
    if names:
        log.warning(
            "an earlier version may have sent the secret that lets others in here to the peers it called "
            "(%s): %s",
            names,
            how_to_renew(config),
        )
        log.warning(
            "those peers are asked without it from now on: where one lets this machine in for a secret, give "
            "secret_file in its section of config.toml"
        )


def warn_who_may(peers: Iterable[ConfiguredPeer]) -> None:
    """`peers` were kept by an earlier version, which let in every peer that it called."""
    names = ", ".join(peer.short for peer in peers)
    if names:
        log.warning(
            "%s may use what this machine serves, as in earlier versions each peer that was added might: "
            "`toxvpn peer add KEY --may vpn` takes that back",
            names,
        )


def how_to_renew(config: Config) -> str:
    server = config.server
    if server is None or (config.secret is None and server.secret_file is None and not makes_secret(config)):
        return "no secret is in use here"
    if config.secret is not None:
        return "start it with another secret, and give that to the peers that are to come in"
    if server.secret_file is not None:
        return f"put another one into {server.secret_file}, and restart"
    return "`toxvpn secret renew` makes a new one, and says what to tell the others"
