"""Prints and logs what a person needs when a run begins: Tox ID, network, the command for the other side.

stdout gets the Tox ID of a server and nothing else. A secret is shown only on a terminal, where a person
needs it for the other side; a log, which others may read, gets the name of its file.
"""

import logging
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.model import Config
from ..config.policy import Policy, makes_secret
from ..state.secretfile import SECRET_NAME
from ..tcpforward.rules import Rules
from ..wire.ports import FIRST_FREE_PORT
from ..wire.secret import GUESSABLE_BYTES

if TYPE_CHECKING:
    from ..tun.vpn import Vpn

log = logging.getLogger("toxvpn")

USUAL_TARGET = "localhost:22"
SINGLE_TARGET = re.compile(r"[A-Za-z0-9_.-]+:[1-9][0-9]*")


def log_network(vpn: "Vpn") -> None:
    own = [str(each) for each in (vpn.router.own_ipv4, vpn.ipv6) if each is not None]
    log.info("%s is up: %s", vpn.interface, ", ".join(own))


MOST_NAMES = 4


def log_unlimited(names: Sequence[str], of: str = "this machine") -> None:
    """Say which peers may reach every port over the VPN; `of`: of what."""
    if names:
        shown = ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
        log.info(
            "may reach every port of %s over the VPN: %s; `toxvpn peer allow PEER RULE...` limits a peer",
            of,
            shown,
        )


def print_server(config: Config, policy: Policy, tox_id: str, data: Path) -> None:
    """Print a server's Tox ID and the command for the other side. `data` is where its own secret is kept."""
    print(tox_id, flush=True)  # noqa: T201
    if policy.authority.open:
        log.warning("--open: everybody who knows the Tox ID can reach what this machine can reach")
    secret = policy.authority.secret
    if secret is not None and len(secret) < GUESSABLE_BYTES:
        log.warning(
            "a secret of %d characters can be guessed, and guesses delay those who know it: use at least %d",
            len(secret),
            GUESSABLE_BYTES,
        )
    on_terminal = sys.stderr.isatty()
    line = "on the other side: " + client_command(tox_id, config, policy, data, show=on_terminal)
    if not on_terminal:
        log.info("%s", line)
    elif log.isEnabledFor(logging.INFO):
        print(line, file=sys.stderr)  # noqa: T201


def client_command(tox_id: str, config: Config, policy: Policy, data: Path, *, show: bool) -> str:
    """The command for the other side, ready to be pasted. Without `show` it names a file for the secret."""
    words = f"toxvpn -i {tox_id} -L {example_forward(policy.rules)}"
    secret = policy.authority.secret
    if secret is None:
        by_key = policy.authority.whitelist or (config.peers and not policy.authority.open)
        return f"{words} -C DIR  # DIR: the directory of the identity that is let in" if by_key else words
    if show and is_printable(secret):
        return f"TOXVPN_SHARED_SECRET={shlex.quote(secret.decode())} {words}"
    return f"{words} --secret-file FILE  # FILE: {describe_secret_file(config, data)}"


def client_commands(tox_id: str, config: Config, policy: Policy, data: Path) -> tuple[str, str]:
    """The command with the secret in it, for a person at a terminal, and without."""
    shown, hidden = (client_command(tox_id, config, policy, data, show=show) for show in (True, False))
    return shown, hidden


def is_printable(secret: bytes) -> bool:
    try:
        return secret.decode().isprintable()
    except UnicodeDecodeError:
        return False


def describe_secret_file(config: Config, data: Path) -> str:
    if makes_secret(config):
        return f"a copy of {data / SECRET_NAME}"
    if config.secret is None and config.server is not None and config.server.secret_file is not None:
        return f"a copy of {config.server.secret_file}"
    return "a file with the secret"


def example_forward(rules: Rules) -> str:
    """A forward that is allowed: to ssh if it may be reached, or to the first target that has a rule."""
    targets = [rule.line for rule in rules.rules or () if SINGLE_TARGET.fullmatch(rule.line)]
    host, _, port = (USUAL_TARGET if rules.allows("localhost", 22) or not targets else targets[0]).rpartition(
        ":"
    )
    local = 2222 if port == "22" else int(port) if int(port) >= FIRST_FREE_PORT else 8000 + int(port)
    return f"{local}:{host}:{port}"
