"""`toxvpn ping`: measures the round trip to a peer, and names the path it took."""

import time
from typing import Any

import click

from ..errors import PathError, PeerOfflineError
from .ask import ask, print_note
from .shared import SHARED, Seconds, Settings, takes
from .table import path_word, round_trip

INTERVAL_S = 1.0
SLACK_S = 5.0
"""How much longer than the ping itself the daemon's answer may take."""


@click.command("ping")
@click.argument("peer")
@click.option("-c", "--count", type=click.IntRange(1), default=4, show_default=True, help="Number of pings.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="S",
    type=Seconds(0.001),
    default=5.0,
    show_default=True,
    help="Seconds to wait for each answer.",
)
@click.option(
    "--direct", is_flag=True, help="Stop at the first answer over a direct path; fail with 6 without one."
)
@takes(SHARED)
@click.pass_obj
def command(settings: Settings, peer: str, count: int, timeout_s: float, direct: bool) -> None:
    """Measure the round trip to PEER: a name, key, first digits of a key, Tox ID or overlay address.

    Exits with 5 when it never answers.
    """
    settings.begin()
    answered, failure = False, PeerOfflineError("")
    for number in range(count):
        if number:
            time.sleep(INTERVAL_S)
        try:
            pong = ask(settings, "ping", peer=peer, timeout_s=timeout_s, answer_s=timeout_s + SLACK_S)
        except PeerOfflineError as error:
            failure = error
            if number + 1 < count:
                print_note(settings, str(error))
            continue
        answered = True
        click.echo(line(pong))
        if direct and pong["path"] == "udp":
            return
    if not answered:
        raise failure
    if direct:
        raise PathError(f"{peer} answered, but only over a relay")


def line(pong: dict[str, Any]) -> str:
    name = pong["name"] or pong["public_key"][:8]
    path, rtt = path_word(pong["path"]), round_trip(pong["rtt_seconds"])
    return f"pong from {name} ({pong['address']}) via {path} in {rtt}"
