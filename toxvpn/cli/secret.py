"""`toxvpn secret renew`: replaces the secret that lets others in here."""

import sys
from typing import Any

import click

from .ask import ask, kept_members, print_note, running_or_not
from .config_flag import find_configuration
from .shared import SHARED, Settings, need_verb, takes


@click.group("secret", invoke_without_command=True)
@takes(SHARED)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Renew the secret that lets others in."""
    need_verb(ctx)


@command.command("renew")
@takes(SHARED)
@click.pass_obj
def renew(settings: Settings) -> None:
    """Make a new secret for this server, and print what to type on the other side.

    Friends that came in by the old one are shut out at once. Peers, invites and keys of -i are not touched.
    On a terminal the secret is shown, otherwise the file that holds it.
    """
    settings.begin()
    answer: dict[str, Any] = running_or_not(
        settings, online=lambda: ask(settings, "secret-renew"), offline=lambda: renew_kept(settings)
    )
    print_note(
        settings, "the secret is renewed; machines that used the old one need the new one; on the other side:"
    )
    click.echo(answer["shown" if sys.stdout.isatty() else "hidden"])


def renew_kept(settings: Settings) -> dict[str, Any]:
    """Makes a new secret for the next start."""
    from ..config.flags import ConfigSource, RunKind
    from ..config.model import Config
    from ..daemon.renewal import renew_offline
    from ..members import friends
    from .id import tox_id

    data, file = settings.places.data, find_configuration(settings, None)
    config = ConfigSource(kind=RunKind.SERVER).in_force(file or Config())
    own = tox_id(data)
    with kept_members(settings) as members:
        shown, hidden = renew_offline(config, data, own)
        members.book.secret_is_out = False
        friends.save(data, members.book)
    return {"shown": shown, "hidden": hidden}
