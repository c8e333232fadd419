"""`toxvpn completion SHELL`: the script that lets a shell complete our command line.

The script asks the program itself what can be completed (click's _TOXVPN_COMPLETE), so it is never out of
date. The package installs it too, from contrib/completions, which scripts/generate.py writes.
"""

import click
from click.shell_completion import get_completion_class

from .shared import SHARED, Settings, takes

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "toxvpn"
VARIABLE = "_TOXVPN_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@takes(SHARED)
@click.pass_obj
def command(settings: Settings, shell: str) -> None:
    """Print the completion script of a shell: bash, zsh or fish.

    To try it: source <(toxvpn completion bash). Where the package is installed for the whole system, it is
    already in place.
    """
    settings.begin()
    click.echo(script(shell))


def script(shell: str) -> str:
    kind = get_completion_class(shell)
    assert kind is not None
    # not source(): for bash it checks whether a new enough one is installed here
    made = kind(click.Group(PROGRAM), {}, PROGRAM, VARIABLE)
    text: str = made.source_template % made.source_vars()
    return text.strip()
