"""`toxvpn metrics`: what the running toxvpn counts, as Prometheus text (docs/metrics.md)."""

import click

from .ask import ask
from .shared import SHARED, Settings, takes


@click.command("metrics")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings) -> None:
    """Print what the running toxvpn counts, as Prometheus text.

    For node_exporter's textfile collector, or to look at; --metrics-port serves the same over HTTP. Ends
    with 3 when none is running.
    """
    settings.begin()
    click.echo(ask(settings, "metrics"), nl=False)
