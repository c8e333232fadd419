"""`toxvpn down`: stops the running toxvpn and returns when it has ended."""

from pathlib import Path

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

    When toxvpn is not running, there is nothing to stop, and it exits with 0. What a killed one left in the
    network, such as the block of traffic that is to use an exit, is undone then.
    """
    settings.begin()
    try:
        ended = stop(settings)
    except NotRunningError:  # or it ended by itself just now
        left = clear_leftovers(settings.places.runtime)
        undone = ", and what an earlier run left in the network is undone" if left else ""
        print_note(settings, f"toxvpn is not running{undone}")
        return
    if not ended:
        raise ToxvpnError(f"toxvpn still runs {STOPPING_S:.0f} s after it was asked to stop: see its log")


def clear_leftovers(runtime: Path) -> bool:
    """Undoes what a killed run left in the network; whether there was something. Raises ToxvpnError."""
    from ..tun.exit import leftovers  # only now: `down` is quick where there is something to stop

    return leftovers.clear(runtime)


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
