"""`toxvpn up`: runs the VPN."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..config.flags import RunKind, UserNetwork
from ..config.model import Config
from ..config.vpn import VPN
from ..errors import PeerRefusedError, UsageError
from ..members.peers import ConfiguredPeer, check_name, parse_peer, same_name
from ..members.selector import is_key
from ..wire.invite import is_invite
from ..wire.toxid import key_prefix
from .callee import known_peers
from .config_flag import CONFIG, find_configuration
from .given_secret import find_secret
from .process_flags import PROCESS, ProcessOptions
from .run_options import daemon_options, log_left_out, start
from .shared import ON_NETWORK, SHARED, Settings, flag, key_options, takes

FLAGS = (
    flag("VPN", "--peer", "peers", metavar="[NAME=]PEER", multiple=True,
         help="A Tox ID, public key or invite, and its name here; a peer for this run, beside the kept ones. "
         "Repeatable."),
    flag("VPN", "--user", "for_user", is_flag=True,
         help="Without root: a network that only commands of `toxvpn exec` are in."),
    flag("VPN", "--internet", is_flag=True,
         help="With --user: let those commands reach the Internet too, by pasta of passt."),
    *key_options(VPN),
)  # fmt: skip


@click.command("up")
@takes((*FLAGS, CONFIG, *ON_NETWORK, *PROCESS, *SHARED))
@click.pass_obj
def command(
    settings: Settings,
    /,
    config_file: Path | None,
    peers: Sequence[str],
    for_user: bool,
    internet: bool,
    secret: str | None,
    secret_file: Path | None,
    id_file: Path | None,
    **typed: Any,
) -> int:
    """Be on a network with the peers, in the foreground, until a signal or `toxvpn down`.

    Two machines that give each other's Tox ID with --peer need no further step. What no flag says is in
    [vpn] and [peers] of the configuration, if there is one. A secret is what those of --peer are asked
    with; without --peer, who sends it is let in.
    """
    if internet and not for_user:
        raise UsageError("--internet goes with --user: this machine's own network has the Internet already")
    process = ProcessOptions.taken_from(typed)
    process.begin(settings)
    config = find_configuration(settings, config_file)
    log_left_out(config, RunKind.UP)
    given = find_secret(secret, secret_file, os.environ)
    options = daemon_options(
        settings,
        process,
        RunKind.UP,
        config,
        secret=None if peers else given,  # what is for those peers does not open the door here
        id_file=id_file,
        peers=parse_peers(peers, settings.places.data, config, time.time(), given),
        user_network=UserNetwork(internet=internet) if for_user else None,
    )
    return start(options)


def parse_peers(
    texts: Sequence[str], directory: Path, config: Config | None, now: float, secret: bytes | None = None
) -> tuple[ConfiguredPeer, ...]:
    """The peers of --peer, which are asked with `secret`."""
    peers = []
    for text in texts:
        name, equals, rest = text.partition("=")
        try:
            if equals:
                peers.append(replace(parse_named(name, rest, directory, config, now), secret=secret))
            elif is_key(text.strip()) or is_invite(text) or not is_name(text):
                peers.append(replace(parse_peer(text, None, now), secret=secret))
            else:
                peers.append(ConfiguredPeer(known_key(text, directory, config), secret=secret))
        except UsageError as error:
            raise UsageError(f"--peer {error}") from None
    return tuple(peers)


def parse_named(name: str, text: str, directory: Path, config: Config | None, now: float) -> ConfiguredPeer:
    """Raises UsageError, also when another peer has that name."""
    check_name(name)
    peer = parse_peer(text, name, now)
    for other in known_peers(directory, config):
        if same_name(other.name, name) and other.public_key != peer.public_key:
            raise UsageError(
                f"{name}=…: {other.name!r} is the name of peer {key_prefix(other.public_key)}; choose another"
            )
    return peer


def is_name(text: str) -> bool:
    try:
        check_name(text)
    except UsageError:
        return False
    return True


def known_key(name: str, directory: Path, config: Config | None) -> bytes:
    for peer in known_peers(directory, config):
        if same_name(peer.name, name):
            return peer.public_key
    raise PeerRefusedError(
        f"--peer {name!r}: no kept peer has that name; give its Tox ID, or see `toxvpn peer list`"
    )
