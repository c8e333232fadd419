"""The secret that lets others in here, when it is known to somebody who should not have it.

Versions up to 0.1 asked every peer with the server's own secret, and so gave it to all whom they called.
Who kept state with such a version is told so once (members/grants.py remembers), and renews it.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from ..config.model import Config
from ..config.policy import makes_secret, policy
from ..errors import UsageError
from ..members.known import ConfiguredPeer
from ..report.welcome import both_commands
from ..state.secretfile import new_secret

log = logging.getLogger("toxvpn")


def renew(config: Config, data: Path) -> None:
    """Makes a new secret of our own, in `data`. Raises UsageError when ours is none that we have made."""
    if not makes_secret(config):
        raise UsageError(f"there is no secret of toxvpn's own making here: {how_to_renew(config)}")
    new_secret(data)


def renew_at_rest(config: Config, data: Path, tox_id: str) -> tuple[str, str]:
    """For the next start of the server that `config` is of. Returns what to type on the other side then.

    Raises as `renew`.
    """
    renew(config, data)
    return both_commands(tox_id, config, policy(config, data), data)


def tell_if_out(config: Config, called: Iterable[ConfiguredPeer]) -> None:
    """`called`: whom we ask to let us in, and so asked with that secret."""
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


def tell_who_may(peers: Iterable[ConfiguredPeer]) -> None:
    """`peers`: kept by an earlier version, for which whom we call was also who may come in."""
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
        return "nobody comes in by a secret"
    if config.secret is not None:
        return "start it with another secret, and tell that to who is to come in"
    if server.secret_file is not None:
        return f"put another one into {server.secret_file}, and restart"
    return "`toxvpn secret renew` makes a new one, and says what to tell the others"
