"""`toxvpn ssh`: runs ssh to a peer by its name, Tox ID or invite, through our own -P or over the VPN.

In: ssh's own arguments, of which only the destination and the port matter here. Out: this process becomes
ssh.
"""

import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..control.join import NETWORK_VARIABLE
from ..errors import PeerOfflineError, PeerRefusedError, ToxvpnError, UsageError
from ..members import peers
from ..members.peers import parse_peer
from ..members.selector import is_key
from ..names.zone import bare_label
from ..tcpforward.spec import RoadPolicy
from ..wire.invite import is_invite
from ..wire.toxid import short_key
from .ask import ask, kept_members, print_note, running_or_not
from .callee import Callee, find_callee
from .config_flag import find_configuration
from .given_secret import VARIABLES
from .shared import PATH, Settings
from .ssh_words import find_destination, split_destination, typed_port
from .statustext import short

ANSWER_S = 1.5
"""The time for each address of the peer to answer; over a relay a round trip may take 0.3 s."""
KEY_DIGITS = 16
"""Enough digits of a public key to distinguish peers."""


@click.command("ssh", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--secret-file", metavar="FILE", type=PATH, help="Where the shared secret is; see toxvpn -h.")
@click.option("--road", type=click.Choice([road.value for road in RoadPolicy]), help="See toxvpn -h.")
@click.option("--proxy", metavar="URL", help="See toxvpn -h.")
@click.option("--no-share", is_flag=True, help="Connect for this command alone.")
@click.argument("arguments", metavar="[SSH OPTION]... [USER@]PEER", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(
    settings: Settings,
    arguments: tuple[str, ...],
    secret_file: Path | None,
    road: str | None,
    proxy: str | None,
    no_share: bool,
) -> None:
    """Log in to PEER with ssh: a name (a kept peer's, or one on the network), a Tox ID, or an invite.

    The options below come first; all others are ssh's own. (-C, -b, -d and -q of toxvpn go before the
    word ssh.) It connects to sshd on the peer itself, at the port given to ssh, usually 22. The settings in
    ~/.ssh/config for a host of that name apply. While `toxvpn up` runs here, its peers are reached at their
    VPN addresses, if they answer there, and otherwise through it.
    """
    settings.begin(logging.WARNING)
    if not arguments:
        raise UsageError("the peer is missing; usage: toxvpn ssh [SSH OPTION]... [USER@]PEER [COMMAND]")
    place = find_destination(arguments)
    if place is None:
        become_ssh(arguments)  # ssh -V, or a mistake that ssh explains
        return
    before, destination, after = arguments[:place], arguments[place], arguments[place + 1 :]
    start, text, end = split_destination(destination)
    given = secret_file is not None or any(map(os.environ.get, VARIABLES))
    route = find_route(settings, text, typed_port(before, end), ask_network=not given)
    if route.address is None:
        own = [*ourselves(settings), *own_flags(secret_file, road, proxy, no_share)]
        option = proxy_command([*own, "-i", route.peer])
    else:
        option = f"HostName={route.address}"
    host = short_name(route.peer, route.public_key)
    dashes = ["--"] if before[-1:] == ("--",) else []
    before = before[: len(before) - len(dashes)]
    become_ssh([*before, *ssh_options(option, route.public_key), *dashes, f"{start}{host}{end}", *after])


@dataclass(frozen=True, slots=True)
class SshRoute:
    """The way to a peer: at its address on the network, or, where that is None, by our own -i and -P.

    `peer` is what was typed, or its key in place of an invite: arguments are visible to all users.
    """

    public_key: bytes
    peer: str
    address: str | None


def find_route(settings: Settings, text: str, port: int, *, ask_network: bool) -> SshRoute:
    """Raises PeerRefusedError, UsageError (no such peer), PeerOfflineError, ConfigError."""
    config = find_configuration(settings, None)
    try:
        callee = find_callee(text, lambda: settings.places.data, time.time(), config)
    except (PeerRefusedError, UsageError):  # not kept here, or not so that it can be called
        known = ask_network and not is_key(text) and not is_invite(text)
        member = find_on_network(settings, text) if known else None
        if member is None:
            raise
        address = vpn_address(member, port)
        if address is None:
            raise PeerOfflineError(f"{text} does not answer at its address on the network") from None
        return SshRoute(bytes.fromhex(member["public_key"]), text, address)
    public_key = callee.tox_id.public_key
    if is_invite(text):
        keep(settings, text, callee)
        text = public_key.hex()
    member = find_on_network(settings, public_key.hex()) if ask_network else None
    return SshRoute(public_key, text, None if member is None else vpn_address(member, port))


def own_flags(secret_file: Path | None, road: str | None, proxy: str | None, no_share: bool) -> list[str]:
    """Our flags as they were typed, for the command that ssh runs."""
    words = [] if secret_file is None else ["--secret-file", str(secret_file.absolute())]
    words += [] if road is None else ["--road", road]
    words += [] if proxy is None else ["--proxy", proxy]
    return words + (["--no-share"] if no_share else [])


def keep(settings: Settings, token: str, callee: Callee) -> None:
    """Keeps the peer of an invite: it lets in one identity, once, which must be used again next time."""
    if callee.tox_id.public_key in peers.load(settings.places.data):
        return

    def kept() -> None:
        with kept_members(settings) as members:
            members.add(parse_peer(token, None, time.time()))

    running_or_not(settings, online=lambda: ask(settings, "peer-add", peer=token), offline=kept)
    short = short_key(callee.tox_id.public_key)
    print_note(settings, f"kept as peer {short}; `toxvpn peer name {short} NAME` gives it a name")


def ourselves(settings: Settings) -> list[str]:
    """The command with which ssh, in any directory, runs this toxvpn on the same files."""
    script = Path(sys.argv[0])
    if script.name == "toxvpn" and script.is_file() and os.access(script, os.X_OK):
        words = [str(script.absolute())]
    else:
        words = [sys.executable, "-m", "toxvpn"]
    words += [] if settings.directory is None else ["-C", str(settings.directory.absolute())]
    words += [] if settings.nodes_file is None else ["-b", str(settings.nodes_file.absolute())]
    return words + ["-d"] * settings.debug + (["-q"] if settings.quiet else [])


def find_on_network(settings: Settings, text: str) -> dict[str, Any] | None:
    """The peer with that key or name on the network, in the status of `toxvpn up`, if that runs."""
    try:
        document = ask(settings, "status")
    except ToxvpnError:
        return None
    owner = document["self"]["namespace_owner"]
    if owner is not None and os.environ.get(NETWORK_VARIABLE) != str(owner):
        return None  # this process is outside that network
    for peer in document["peers"] if document["self"]["mode"] == "up" else ():
        named = peer["dns_name"] and bare_label(peer["dns_name"]) == bare_label(text)
        if named or peer["public_key"] == text.upper():
            return dict(peer)
    return None


def vpn_address(peer: dict[str, Any], port: int) -> str | None:
    """Its address on the network, if it answers there; None otherwise. Raises PeerOfflineError."""
    if not peer["online"]:
        raise PeerOfflineError(f"{short(peer)} is not online now; see `toxvpn status`")
    return first_to_answer([each for each in (peer["ipv6"], peer["ipv4"]) if each], port)


def first_to_answer(addresses: Sequence[str], port: int) -> str | None:
    """The first address that accepts or refuses a connection; a refusal is explained by ssh."""
    for address in addresses:
        try:
            socket.create_connection((address, port), ANSWER_S).close()
        except ConnectionRefusedError:
            pass
        except OSError:
            continue
        return address
    return None


def short_name(text: str, public_key: bytes) -> str:
    """The host name for ssh: a Tox ID would be too long in the name of a socket (ControlPath, %h)."""
    return public_key.hex()[:KEY_DIGITS] if is_key(text) else text


def proxy_command(own: Sequence[str]) -> str:
    """The ssh option that connects through toxvpn.

    The host stays as typed: as `localhost`, all peers would be one host to ~/.ssh/config and to ssh's own
    sharing.
    """
    words = [shlex.quote(word).replace("%", "%%") for word in own]
    return " ".join(["ProxyCommand=" + words[0], *words[1:], "-P", "localhost:%p"])


def ssh_options(option: str, public_key: bytes) -> list[str]:
    """Options to append to those typed: ssh takes the first of each, so all can be overridden.

    Host keys are stored under the peer's key, so that they are found under any name and on any route.
    """
    return ["-o", option, "-o", f"HostKeyAlias=toxvpn-{public_key.hex()[:KEY_DIGITS]}"]


def become_ssh(arguments: Sequence[str]) -> None:
    """Replaces this process by ssh, whose exit code is then ours. Raises ToxvpnError."""
    try:
        os.execvp("ssh", ["ssh", *arguments])
    except OSError as error:
        raise ToxvpnError(f"cannot run ssh: {error.strerror}; install OpenSSH's client") from None
