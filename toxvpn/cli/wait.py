"""`toxvpn wait`: returns when peers are reachable, for scripts that need them."""

import time

import click

from ..control.client import ControlClient
from ..errors import NotRunningError
from .ask import connect
from .shared import SHARED, Seconds, Settings, takes

START_S = 5.0
"""How long to wait for a toxvpn that was started a moment ago to answer at all."""
LOOK_AGAIN_S = 0.1


@click.command("wait")
@click.argument("peers", metavar="[PEER]...", nargs=-1)
@click.option("--direct", is_flag=True, help="Wait for a direct path; a relayed one is not enough.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="S",
    type=Seconds(0),
    help="Seconds to wait before giving up. [default: no limit]",
)
@takes(SHARED)
@click.pass_obj
def command(settings: Settings, peers: tuple[str, ...], direct: bool, timeout_s: float | None) -> None:
    """Wait until each PEER, or every configured peer, is online.

    Exits with 5 when one is not reached in time, with 6 when one is only relayed and --direct was given.
    """
    settings.begin()
    begun = time.monotonic()
    with connect_to_starting(settings, START_S if timeout_s is None else min(timeout_s, START_S)) as client:
        left_s = None if timeout_s is None else max(0.0, timeout_s - (time.monotonic() - begun))
        client.call("wait", peers=list(peers), direct=direct, timeout_s=left_s, answer_s=None)


def connect_to_starting(settings: Settings, within_s: float) -> ControlClient:
    """Connect to a toxvpn that may just be starting. Raises NotRunningError when none answers in time."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return connect(settings)
        except NotRunningError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(LOOK_AGAIN_S)
