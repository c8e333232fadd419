"""`toxvpn down`: stops the running toxvpn and returns when it has ended."""

import click

from ..errors import NotRunningError, ToxvpnError
from .ask import connect, print_note
from .shared import SHARED, Settings, takes

STOPPING_S = 20.0
"""How long a daemon may take to restore the network and save its identity."""


@click.command("down")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings) -> None:
    """Stop the running toxvpn, and return when it has ended.

    When toxvpn is not running, there is nothing to stop, and it exits with 0.
    """
    settings.begin()
    try:
        ended = stop(settings)
    except NotRunningError:  # or it ended by itself just now
        print_note(settings, "toxvpn is not running")
        return
    if not ended:
        raise ToxvpnError(f"toxvpn still runs {STOPPING_S:.0f} s after it was asked to stop: see its log")


def stop(settings: Settings) -> bool:
    """Whether it ends in time. Raises NotRunningError, NoPermissionError."""
    with connect(settings) as client:
        process = client.process()
        client.call("down")
        if process is None:
            return client.ended(STOPPING_S)
        try:
            return process.wait(STOPPING_S)
        finally:
            process.close()
