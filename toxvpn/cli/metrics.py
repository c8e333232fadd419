"""`toxvpn metrics`: prints what the running toxvpn counts, as Prometheus text (docs/metrics.md)."""

import click

from .ask import ask
from .shared import SHARED, Settings, takes


@click.command("metrics")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings) -> None:
    """Print what the running toxvpn counts, as Prometheus text.

    It suits node_exporter's textfile collector; --metrics-port serves the same over HTTP. Exits with 3
    when toxvpn is not running.
    """
    settings.begin()
    click.echo(ask(settings, "metrics"), nl=False)
