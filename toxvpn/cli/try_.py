"""`toxvpn try`: shows on one machine how two reach each other."""

import logging
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .shared import SHARED, Settings, flag, takes

if TYPE_CHECKING:
    from ..trial.machines import Machines

TUTORIAL = "docs/tutorial.md"
REMARK = "Both nodes are on this machine; over the internet connecting takes about 3 s."
ON_TWO_MACHINES = f"""
On two real machines:
  server$ toxvpn                         # prints its Tox ID, and the command for the other side:
  laptop$ TOXVPN_SHARED_SECRET=<secret> toxvpn -i <ToxID> -L 2222:localhost:22
  laptop$ ssh -p 2222 localhost          # port 2222 here is port 22 there
Step by step: {TUTORIAL}"""


@click.command("try")
@flag("Try", "-v", "--verbose", is_flag=True, help="Print what the two programs print, too.")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings, verbose: bool) -> int:
    """See it work on this machine alone: a server, a laptop, and a page fetched through -L.

    Both are real toxvpns with passing identities, each in a network namespace of its own, or both on
    loopback where namespaces are not allowed. No packet leaves this machine, and nothing is kept.
    """
    settings.begin(logging.WARNING)  # the story says what our own node would log
    if settings.directory is not None or settings.nodes_file is not None:
        raise UsageError("try makes an identity and a Tox network of its own: leave -C and -b out")
    from ..trial.machines import make_machines
    from ..trial.run import run_trial
    from ..trial.steps import Story

    def show(machine: str, line: str) -> None:
        if verbose or settings.debug:
            click.echo(f"        {machine}: {line}", err=True)

    story = Story(click.echo)
    machines = make_machines()
    story.result(describe(machines))
    code = run_trial(machines, story, show)
    if code == 0:
        click.echo(f"\nIt works, and took {story.took_s:.1f} s. {REMARK}\n{ON_TWO_MACHINES}")
    return code


def describe(machines: "Machines") -> str:
    if machines.why_together is None:
        return "two machines on this one, server and laptop: network namespaces, and a cable between them"
    return f"server and laptop are both this machine, on loopback ({machines.why_together})"
