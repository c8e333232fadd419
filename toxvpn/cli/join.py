"""`toxvpn join`: makes the machine that made an invite a peer of this one."""

import sys

import click

from ..wire.invite import decode
from ..wire.toxid import short_key
from .ask import print_note
from .peer import add_peer
from .shared import SHARED, Settings, takes

MOST_CHARACTERS = 1000
"""Read from stdin; an invite has 103."""


@click.command("join")
@click.argument("invite", metavar="INVITE")
@click.option("--name", metavar="NAME", help="What to call the inviting machine here.")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings, invite: str, name: str | None) -> None:
    """Join the machine that printed INVITE with `toxvpn invite`; - reads it from stdin.

    A running toxvpn asks it at once to let this machine in; otherwise the next command that calls it
    does, or `toxvpn up`.
    """
    settings.begin()
    if invite == "-":
        invite = sys.stdin.read(MOST_CHARACTERS)
    inviting = decode(invite).tox_id.public_key  # before anything else, for a precise message
    answer = add_peer(settings, invite, name)
    short = name or short_key(inviting)
    if answer is None:
        print_note(
            settings, f"the next command that calls {short}, or `toxvpn up`, asks it to let this machine in"
        )
    else:
        print_note(
            settings,
            f"asking {short} to let this machine in; `toxvpn wait {short}` returns when it is connected",
        )
