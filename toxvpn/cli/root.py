"""`toxvpn` without a verb: a client with -L, -R, -D PORT, -P or -p, otherwise the server.

The letters are tuntox's. root_flags.py says which flag does what, verbs.py which verbs there are.
"""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..config.node import NODE
from ..config.server import SERVER
from ..errors import UsageError
from ..tcpforward.spec import RoadPolicy
from . import verbs
from .config_flag import CONFIG, find_configuration
from .given_secret import find_secret
from .process_flags import DAEMONIZE, PROCESS, ProcessOptions
from .run_options import daemon_options, log_left_out, node_options, start
from .shared import ON_NETWORK, PATH, SHARED, Decorator, Settings, flag, key_options, takes

HEADINGS = ("Server", "Client", "Common", "Process")
EXAMPLES = """\b
Examples:
  toxvpn                                       let others in; prints what to type on the other side
  toxvpn -i ID --secret-file F -L 8080:localhost:80   port 8080 here is the server's port 80
  toxvpn ssh --secret-file F user@ID           log in to the server; scp, git and others: see docs/forwards.md
"""


class Root(click.Group):
    """Loads a verb only when it is asked for, and lists options under headings."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(verbs.VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return verbs.load(cmd_name) if cmd_name in verbs.VERBS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in verbs.VERBS:
            raise UsageError(explain_word(word))
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading in HEADINGS:
            listed = [
                option for option in self.get_params(ctx) if getattr(option, "heading", "Common") == heading
            ]
            with formatter.section(heading):
                formatter.write_dl(
                    [row for option in listed if (row := option.get_help_record(ctx)) is not None]
                )
        with formatter.section("Commands"):
            formatter.write_dl(list(verbs.VERBS.items()))


def explain_word(word: str) -> str:
    """Describes what a word that is not a verb was probably meant to be."""
    if len(word) in (64, 76) and all(letter in "0123456789abcdefABCDEF" for letter in word):
        return "a Tox ID needs its flag: -i ID"
    if ":" in word or "@" in word:
        return f"{word!r} needs its flag: -L or -R to forward, -P for stdin and stdout, -D for a SOCKS5 proxy"
    return f"there is no command {word!r}: see toxvpn -h"


def print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from .version import version_text

        click.echo(version_text())
        ctx.exit()


FLAGS: tuple[Decorator, ...] = (
    flag("Server", "-f", "rules_file", metavar="FILE", type=PATH,
         help="Allow only the targets in FILE, one host:port or unix:/path a line."),
    *key_options(SERVER),
    flag("Client", "-i", "ids", metavar="ID", multiple=True,
         help="The server: its Tox ID, an invite, or the name of a kept peer. "
              "On a server: only this Tox ID or public key may use it; repeatable."),
    flag("Client", "-L", "forwards", metavar="[BIND:]PORT:HOST:HOSTPORT", multiple=True,
         help="Forward a local port to HOST:HOSTPORT as the server sees it; either may be the path of a Unix "
              "socket; after udp/ it is of UDP, after both/ of both; repeatable."),
    flag("Client", "-R", "remotes", metavar="[BIND:]PORT:HOST:HOSTPORT", multiple=True,
         help="Have the server listen on a port, if it allows that, and forward it to HOST:HOSTPORT as this "
              "machine sees it; port 0: the server chooses; repeatable."),
    flag("Client", "-D", "daemon_or_socks", metavar="[[BIND:]PORT]", multiple=True, is_flag=False,
         flag_value=DAEMONIZE, help="SOCKS5 proxy on a local port. Without a port: go into the background."),
    flag("Client", "-P", "-W", "pipes", metavar="HOST:PORT", multiple=True,
         help="Tie stdin and stdout to HOST:PORT, or to the path of a Unix socket (for ssh's ProxyCommand)."),
    flag("Client", "-p", "ping", is_flag=True, help="Measure the round trip to the server, and end."),
    flag("Client", "--road", type=click.Choice([road.value for road in RoadPolicy]),
         help="Pin how bytes travel: over our own stack, or as tuntox does. [default: auto]"),
    flag("Client", "--no-share", is_flag=True,
         help="Connect for this command alone. [default: share the connection with others to this server]"),
    CONFIG,
    *ON_NETWORK,
    *PROCESS,
    *SHARED,
    flag("Common", "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version,
         help="Print the versions and what is in force, and end."),
)  # fmt: skip


@click.group(
    cls=Root,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXAMPLES,
)
@takes(FLAGS)
@click.pass_obj
def root(
    settings: Settings,
    /,
    config_file: Path | None,
    secret: str | None,
    secret_file: Path | None,
    **flags: Any,
) -> int:
    """Reach a machine behind any NAT by its Tox ID.

    Alone it is the server; with -i and one of -L, -R, -D PORT, -P, -p it is the client.
    """
    from .root_flags import RootFlags, build_client, parse_whitelist  # and what reads their values

    process = ProcessOptions.taken_from(flags)
    typed = RootFlags(**flags)
    if typed.daemonize:
        process = replace(process, daemonize=True)
    process.begin(settings, logging.WARNING if typed.pipes else logging.INFO)
    verb = click.get_current_context().invoked_subcommand
    if verb is not None:
        others = (config_file, secret, secret_file) != (None, None, None)
        keys = settings.typed.keys() - {NODE.path("nodes_file")}
        if others or keys or (process, typed) != (ProcessOptions(), RootFlags()):
            raise UsageError(f"only -C, -b, -d and -q go before '{verb}'")
        return 0
    config = find_configuration(settings, config_file)
    given = find_secret(secret, secret_file, os.environ)
    opened = SERVER.path("open") in settings.typed
    if typed.is_client:
        common = node_options(settings, process, config, id_file=typed.id_file, passing=True)
        return start(build_client(typed, common, config, given, opened=opened))
    from ..config.flags import RunKind

    log_left_out(config, RunKind.SERVER)
    if whitelist := parse_whitelist(typed, given, opened=opened):
        settings.typed[SERVER.path("whitelist")] = whitelist
    return start(
        daemon_options(
            settings,
            process,
            RunKind.SERVER,
            config,
            secret=given,
            id_file=typed.id_file,
            rules_file=typed.rules_file,
        )
    )
