"""`toxvpn exec`: runs a command in the network of the peers, without root.

In: peers to wait for, and the command. Out: this process becomes the command, inside the network that runs
for this user (`toxvpn up --user`), or inside one that lasts as long as commands use it.
"""

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from ..config.flags import RunKind, UserNetwork
from ..config.vpn import VPN
from ..control.giveway import gives_way
from ..control.join import NETWORK_VARIABLE, Joined, join
from ..errors import NotRunningError, PeerOfflineError, ToxvpnError, UsageError
from ..members.peers import ConfiguredPeer
from .ask import ask, print_note
from .config_flag import CONFIG, find_configuration
from .exec_routes import parse_routes, wait_for_routes, with_routes
from .given_secret import find_secret
from .process_flags import ProcessOptions
from .run_options import daemon_options, start
from .shared import ON_NETWORK, SHARED, Seconds, Settings, flag, key_options, takes
from .up import parse_peers

UNNAMED_PEERS_S = 20.0
"""How long to wait for the kept peers, of which some may be away, when none is named."""

OF_A_MACHINE = ("hosts", "advertise", "snat", "exit", "exit_lan")
"""Keys for what a machine does with its own network."""

FLAGS = (
    flag("VPN", "--peer", "peers", metavar="PEER", multiple=True,
         help="Wait for this peer first: a kept one's name, or a Tox ID, public key or invite. Repeatable."),
    flag("VPN", "--route", "routes", metavar="NETWORK=PEER", multiple=True,
         help="Reach this network, which lies behind that peer and which it advertises. Repeatable."),
    flag("VPN", "--internet", is_flag=True,
         help="Let the command reach the Internet too, by pasta of passt. [default: the peers alone]"),
    flag("VPN", "--timeout", "timeout_s", metavar="S", type=Seconds(0),
         help="Seconds to wait for the peers. [default: no limit for those of --peer, else 20]"),
    *key_options(VPN, but=OF_A_MACHINE),
)  # fmt: skip


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="[--] COMMAND...", nargs=-1, type=click.UNPROCESSED)
@takes((*FLAGS, CONFIG, *ON_NETWORK, *SHARED))
@click.pass_obj
def command(
    settings: Settings,
    /,
    words: tuple[str, ...],
    config_file: Path | None,
    peers: Sequence[str],
    routes: Sequence[str],
    internet: bool,
    timeout_s: float | None,
    secret: str | None,
    secret_file: Path | None,
    id_file: Path | None,
) -> int:
    """Run COMMAND in the network of the peers alone, without root.

    It sees a machine with this user's files and the VPN as its only network: peers by their names and
    addresses, and no Internet unless --internet is given. It enters the network of `toxvpn up --user`, if
    that runs; otherwise it has one for its time, with this user's kept identity. Its exit code is ours, or
    126 or 127 if it cannot be run.
    """
    settings.begin(logging.WARNING)
    if not words:
        raise UsageError("the command is missing; for example: toxvpn exec --peer box -- ping box")
    config = find_configuration(settings, config_file)
    given = find_secret(secret, secret_file, os.environ)

    def parsed(texts: Sequence[str]) -> tuple[ConfiguredPeer, ...]:
        return parse_peers(texts, settings.places.data, config, time.time(), given)

    networks = parse_routes(routes, parsed)
    wanted = with_routes(parsed(peers), networks)
    options = daemon_options(
        settings,
        ProcessOptions(daemonize=True),
        RunKind.UP,
        config,
        secret=None if wanted else given,
        id_file=id_file,
        peers=wanted,
        user_network=UserNetwork(internet=internet, command=os.getpid()),
    )
    joined, is_new = join_running(settings), False
    while joined is None:
        child = os.fork()
        if child == 0:
            return start(options)  # which returns once the network is up, in the background
        if code := exit_code(child):
            return code
        joined, is_new = join_running(settings), True
    if internet and not joined.internet:
        raise UsageError(
            "the network that runs has no way to the Internet: take it down with `toxvpn down`, "
            "or leave out --internet"
        )
    if wanted or is_new:
        wait_for(settings, wanted, timeout_s)
    wait_for_routes(settings, networks)
    from ..usernet.enter import become, enter

    if os.environ.get(NETWORK_VARIABLE) != str(joined.owner):  # it is in there already
        enter(joined.owner, joined.resolv_conf)
    os.environ[NETWORK_VARIABLE] = str(joined.owner)
    return become(words)


def exit_code(child: int) -> int:
    """Waits for it."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def join_running(settings: Settings) -> Joined | None:
    """Enters this process in the network that runs with these files; None when there is none.

    Raises ToxvpnError when another kind of toxvpn runs with them.
    """
    runtime = settings.places.runtime
    try:
        return join(runtime, os.getpid())
    except NotRunningError:
        return None
    except ToxvpnError:
        if gives_way(runtime):
            return None
        raise


def wait_for(settings: Settings, peers: Sequence[ConfiguredPeer], timeout_s: float | None) -> None:
    """Waits for these peers. Without any, for all kept ones, of which some may be away."""
    if timeout_s is None and not peers:
        timeout_s = UNNAMED_PEERS_S
    if sys.stderr.isatty():
        print_note(settings, "connecting to the peers; Ctrl-C gives up")
    selectors = [peer.public_key.hex() for peer in peers]
    try:
        ask(settings, "wait", answer_s=None, peers=selectors, direct=False, timeout_s=timeout_s)
    except PeerOfflineError as away:
        if peers:
            raise
        print_note(settings, f"toxvpn: {away}; the command is run all the same")
