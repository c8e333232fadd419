"""`toxvpn reload`: the running toxvpn applies what changed in its configuration."""

import click

from .ask import ask, print_note
from .shared import SHARED, Settings, takes


@click.command("reload")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings) -> None:
    """Apply what changed in the configuration, without touching what did not."""
    settings.begin()
    for line in ask(settings, "reload") or ["nothing has changed"]:
        print_note(settings, line)
