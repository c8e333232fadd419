"""`toxvpn status`: the state of the running toxvpn and its peers, for people or (--json) for scripts."""

import json
import os
import time
from typing import Any

import click

from ..errors import NotRunningError, ToxvpnError
from .ask import ask
from .shared import SHARED, Settings, takes
from .statustext import status_text
from .table import is_coloured

SCHEMA = 1
BLOCKED = "what leaves this machine is blocked until then, as it used an exit: `toxvpn down` ends that"


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document with a stable schema.")
@click.option("--watch", is_flag=True, help="Show it anew every 2 s, with fresh round trips, until Ctrl-C.")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings, as_json: bool, watch: bool) -> None:
    """Show the running toxvpn: its addresses, its peers, and how each is reached.

    The table has, for each peer, the path and for how long it has been this one, the last round trip, which
    part of the latest probes got lost, and the toxvpn that it runs. Exits with 3 when toxvpn is not running.
    """
    settings.begin()
    try:
        document = ask(settings, "status", look=watch)
    except ToxvpnError as error:
        if isinstance(error, NotRunningError) and is_blocked():
            error = NotRunningError(f"{error}; {BLOCKED}")
        if as_json:
            click.echo(json.dumps(failure(error), indent=1))
        raise error from None
    if watch:
        from .watch import watch as show

        show(lambda coloured: look(settings, coloured=coloured, as_json=as_json))
    elif as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        click.echo(status_text(document, settings.directory, time.time(), coloured=is_coloured()))


def is_blocked() -> bool:
    """Whether an earlier run with an exit keeps traffic from leaving; for root to see."""
    if os.geteuid() != 0:
        return False
    from ..tun.exit import leftovers

    return bool(leftovers.orphans())


def look(settings: Settings, *, coloured: bool, as_json: bool) -> str:
    """The status now, or why there is none; as JSON in one line."""
    try:
        document: Any = ask(settings, "status", look=True)
    except ToxvpnError as error:
        return json.dumps(failure(error)) if as_json else str(error)
    if as_json:
        return json.dumps(document)
    return status_text(document, settings.directory, time.time(), coloured=coloured)


def failure(error: ToxvpnError) -> dict[str, Any]:
    return {"schema": SCHEMA, "error": {"text": str(error), "exit_code": error.exit_code}}
