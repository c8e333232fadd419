"""`toxvpn down`: stops the running toxvpn and returns when it is gone."""

import click

from ..errors import NotRunningError, ToxvpnError
from .ask import connect, print_note
from .shared import SHARED, Settings, takes

STOPPING_S = 20.0
"""How long a daemon may take to put the network back and save its identity."""


@click.command("down")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings) -> None:
    """Stop the running toxvpn, and return when it is gone.

    Where none is running there is nothing to do, which is no failure.
    """
    settings.begin()
    try:
        gone = stop(settings)
    except NotRunningError:  # or it ended by itself just now
        print_note(settings, "toxvpn is not running")
        return
    if not gone:
        raise ToxvpnError(f"toxvpn was asked to stop and still runs after {STOPPING_S:.0f} s: see its log")


def stop(settings: Settings) -> bool:
    """Whether it is gone in time. Raises NotRunningError, NoPermissionError."""
    with connect(settings) as client:
        process = client.process()
        client.call("down")
        if process is None:
            return client.ended(STOPPING_S)
        try:
            return process.wait(STOPPING_S)
        finally:
            process.close()
