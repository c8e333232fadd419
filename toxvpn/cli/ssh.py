"""`toxvpn ssh`: ssh to a peer by its name, Tox ID or invite, through our own -P or the VPN that is up.

In: ssh's own arguments, of which only the destination is looked at. Out: this process becomes ssh.
"""

import logging
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import PeerOfflineError, ToxvpnError, UsageError
from ..members import peers
from ..members.peers import parse_peer
from ..members.selector import is_key
from ..tcpforward.spec import RoadPolicy
from ..wire.invite import is_invite
from ..wire.toxid import short_key
from .ask import ask, kept_members, print_note, running_or_not
from .callee import Callee, find_callee
from .config_flag import find_configuration
from .given_secret import VARIABLES
from .shared import PATH, Settings

WITH_VALUE = frozenset("BDEFIJLOPQRSWbceilmopw")
"""ssh's options that take a value, as of OpenSSH 10 (its ssh.c, getopt)."""
URI = "ssh://"
SSH_PORT = 22
ANSWER_S = 1.5
"""For each of the peer's addresses; over a relay a round trip may take 0.3 s."""
KEY_DIGITS = 16
"""Of a public key, enough to tell peers apart."""


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
    """Log in to PEER with ssh: a kept peer's name, a Tox ID, or an invite.

    The options below come first; all others are ssh's own. (-C, -b, -d and -q of toxvpn go before the
    word ssh.) It is sshd on the peer itself that is called, at the port that ssh was told, usually 22.
    What ~/.ssh/config says of a host of that name applies. While `toxvpn up` runs here, its peers are
    called by their addresses there, if they answer on them, and else through it.
    """
    settings.begin(logging.WARNING)
    if not arguments:
        raise UsageError("whom? toxvpn ssh [SSH OPTION]... [USER@]PEER [COMMAND]")
    place = find_destination(arguments)
    if place is None:
        become_ssh(arguments)  # ssh -V, or a mistake that ssh explains
        return
    before, destination, after = arguments[:place], arguments[place], arguments[place + 1 :]
    start, text, end = split_destination(destination)
    config = find_configuration(settings, None)
    callee = find_callee(text, lambda: settings.places.data, time.time(), config)
    if is_invite(text):
        keep(settings, text, callee)
        text = callee.tox_id.public_key.hex()  # an invite is secret, and arguments are for all to see
    given = secret_file is not None or any(map(os.environ.get, VARIABLES))
    port = typed_port(before, end)
    address = None if given else vpn_address(settings, callee, port)
    if address is None:
        own = ourselves(settings)
        own += [] if secret_file is None else ["--secret-file", str(secret_file.absolute())]
        own += [] if road is None else ["--road", road]
        own += [] if proxy is None else ["--proxy", proxy]
        own += ["--no-share"] if no_share else []
        way = proxy_command([*own, "-i", text])
    else:
        way = f"HostName={address}"
    host = short_name(text, callee)
    dashes = ["--"] if before[-1:] == ("--",) else []
    before = before[: len(before) - len(dashes)]
    become_ssh([*before, *ssh_options(way, callee), *dashes, f"{start}{host}{end}", *after])


def find_destination(arguments: Sequence[str]) -> int | None:
    """Which of ssh's arguments it is: the first that is no option, nor the value of one."""
    expected = False
    for place, word in enumerate(arguments):
        if expected:
            expected = False
        elif word == "--":
            return place + 1 if place + 1 < len(arguments) else None
        elif not word.startswith("-"):
            return place
        else:
            expected = wants_value(word)
    return None


def wants_value(word: str) -> bool:
    """Whether the value of its last option is the next word: `-vp 22`, but not `-vp22`."""
    for number, letter in enumerate(word[1:], 2):
        if letter in WITH_VALUE:
            return number == len(word)
    return False


def split_destination(destination: str) -> tuple[str, str, str]:
    """What goes before the peer, the peer, and what goes after: `user@PEER` or `ssh://user@PEER:22`."""
    start, end = "", ""
    rest = destination
    if rest.startswith(URI):
        rest = rest[len(URI) :]
        rest, colon, port = rest.partition(":")
        start, end = URI, colon + port
    user, at, peer = rest.rpartition("@")
    return start + user + at, peer, end


def keep(settings: Settings, token: str, callee: Callee) -> None:
    """An invite lets in one machine, once: both are kept, it and the identity that it let in."""
    if callee.tox_id.public_key in peers.load(settings.places.data):
        return

    def kept() -> None:
        with kept_members(settings) as members:
            members.add(parse_peer(token, None, time.time()))

    running_or_not(online=lambda: ask(settings, "peer-add", peer=token), offline=kept)
    short = short_key(callee.tox_id.public_key)
    print_note(
        settings, f"kept as peer {short}: `toxvpn peer name {short} NAME` gives it a name to call it by"
    )


def ourselves(settings: Settings) -> list[str]:
    """The command that runs this toxvpn, from wherever ssh runs it, on the same files."""
    script = Path(sys.argv[0])
    if script.name == "toxvpn" and script.is_file() and os.access(script, os.X_OK):
        words = [str(script.absolute())]
    else:
        words = [sys.executable, "-m", "toxvpn"]
    words += [] if settings.directory is None else ["-C", str(settings.directory.absolute())]
    words += [] if settings.nodes_file is None else ["-b", str(settings.nodes_file.absolute())]
    return words + ["-d"] * settings.debug + (["-q"] if settings.quiet else [])


def typed_port(options: Sequence[str], end: str) -> int:
    """As the URI, or -p, has it; what ~/.ssh/config says is ssh's to know."""
    said = [end.removeprefix(":")]
    for word, following in zip(options, [*options[1:], ""], strict=False):
        letters = re.match(r"-([^\W\d_]*?)p(.*)", word)
        if letters and not set(letters[1]) & WITH_VALUE:
            said.append(letters[2] or following)
    ports = [int(each) for each in said if each.isdecimal() and 0 < int(each) < 1 << 16]
    return ports[0] if ports else SSH_PORT


def vpn_address(settings: Settings, callee: Callee, port: int) -> str | None:
    """The first of the peer's that it answers on, on the network that is up, if one is.

    Raises PeerOfflineError.
    """
    try:
        document = ask(settings, "status")
    except ToxvpnError:
        return None
    key = callee.tox_id.public_key.hex().upper()
    for peer in document["peers"] if document["self"]["mode"] == "up" else ():
        if peer["public_key"] == key:
            if not peer["online"]:
                raise PeerOfflineError(f"{peer['name'] or key[:8]} is not online now: see `toxvpn status`")
            return first_to_answer([each for each in (peer["ipv6"], peer["ipv4"]) if each], port)
    return None


def first_to_answer(addresses: Sequence[str], port: int) -> str | None:
    """One with which a connection can be made, or is refused: then the peer is there, and ssh explains."""
    for address in addresses:
        try:
            socket.create_connection((address, port), ANSWER_S).close()
        except ConnectionRefusedError:
            pass
        except OSError:
            continue
        return address
    return None


def short_name(text: str, callee: Callee) -> str:
    """What ssh knows the peer by: a Tox ID would be too long in the name of a socket (ControlPath, %h)."""
    return callee.tox_id.public_key.hex()[:KEY_DIGITS] if is_key(text) else text


def proxy_command(own: Sequence[str]) -> str:
    """An option of ssh's. The host stays what was typed, not `localhost`, which would be any peer to
    ~/.ssh/config and to ssh's own sharing.
    """
    words = [shlex.quote(word).replace("%", "%%") for word in own]
    return " ".join(["ProxyCommand=" + words[0], *words[1:], "-P", "localhost:%p"])


def ssh_options(way: str, callee: Callee) -> list[str]:
    """They go after what was typed, of which ssh takes the first: all can be overridden.

    Host keys are remembered by the peer's key, however it is called and reached.
    """
    return ["-o", way, "-o", f"HostKeyAlias=toxvpn-{callee.tox_id.public_key.hex()[:KEY_DIGITS]}"]


def become_ssh(arguments: Sequence[str]) -> None:
    """Does not return, and so ssh's exit code is ours. Raises ToxvpnError."""
    try:
        os.execvp("ssh", ["ssh", *arguments])
    except OSError as error:
        raise ToxvpnError(f"cannot run ssh: {error.strerror}; is OpenSSH's client installed?") from None
