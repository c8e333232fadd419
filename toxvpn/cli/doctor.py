"""`toxvpn doctor`: names the first layer that fails, and what to do about it.

What is looked at: daemon/doctor.py; what it means: daemon/doctor_report.py. Here: whom it is about.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import DoctorOptions
from ..errors import NotRunningError, UsageError
from ..tcpforward.spec import parse_target
from ..tox import peers as configured
from ..tox.identity import SAVE_NAME
from ..tox.peers import ConfiguredPeer
from ..tox.selector import find
from ..wire.toxid import ADDRESS_DIGITS, ToxId
from .ask import ask
from .options import parse_server
from .secret import find_secret
from .shared import SECRET, SHARED, Settings, takes

if TYPE_CHECKING:
    from ..daemon.doctor_report import Finding, Report

COLOURS = {"ok": "green", "limited": "yellow", "failed": "red", "skipped": "bright_black"}


@click.command("doctor")
@click.argument("peer", required=False)
@click.option("-i", "tox_id", metavar="ID", help="The Tox ID of the machine that should be reached.")
@click.option("--target", metavar="HOST:PORT", help="What should be reached through it.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="S",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="Seconds to get on the network, and again to reach the peer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document whose schema is kept.")
@takes((*SECRET, *SHARED))
@click.pass_obj
def command(
    settings: Settings,
    /,
    peer: str | None,
    tox_id: str | None,
    target: str | None,
    timeout_s: float,
    as_json: bool,
    secret: str | None,
    secret_file: Path | None,
) -> int:
    """Look at one layer after the other, and name the first that fails with what to do about it.

    The way into the network; then to PEER, a name or key that is kept here, or -i ID; then through it.
    Where toxvpn runs and knows the peer, that one is asked; otherwise a passing node is made. Ends with 0
    when all is well, with 6 when it works but less well than it could, else with the code of what failed.
    """
    settings.begin(logging.WARNING)  # what would be logged is in the findings
    from ..daemon.doctor import run_doctor

    who, runtime = whom(settings, peer, tox_id)
    options = DoctorOptions(
        directory=None if runtime else identity_for(settings, kept=peer is not None),
        nodes_file=settings.nodes_file,
        secret=find_secret(secret, secret_file, os.environ),
        toxcore_log=settings.debug > 1,
        peer=who,
        target=None if target is None else parse_target(target),
        runtime=runtime,
        timeout_s=timeout_s,
    )
    report = run_doctor(options, ignore if as_json else show)
    if as_json:
        show_document(report)
    else:
        show_rest(report)
    return report.exit_code


def whom(
    settings: Settings, selector: str | None, tox_id: str | None
) -> tuple[ConfiguredPeer | None, Path | None]:
    """The peer, and the runtime directory of the running toxvpn if that knows it.

    Raises UsageError, PeerRefusedError.
    """
    if selector is not None and tox_id is not None:
        raise UsageError("a peer and -i both say whom to reach: leave one out")
    if selector is not None and len(selector) == ADDRESS_DIGITS:
        selector, tox_id = None, selector
    try:
        document: dict[str, Any] | None = ask(settings, "status")
    except NotRunningError:
        document = None
    running = [] if document is None else [known(each) for each in document["peers"]]
    runtime = settings.places.runtime
    if tox_id is not None:
        asked = parse_server([tox_id])
        return stranger(asked), runtime if any(
            each.public_key == asked.public_key for each in running
        ) else None
    if selector is None:
        return None, None if document is None else runtime
    if document is not None:
        return find(selector, running), runtime
    return find(selector, configured.load(settings.places.data).values()), None


def known(state: dict[str, Any]) -> ConfiguredPeer:
    return ConfiguredPeer(bytes.fromhex(state["public_key"]), None, state["name"])


def stranger(tox_id: ToxId) -> ConfiguredPeer:
    return ConfiguredPeer(tox_id.public_key, tox_id.nospam)


def identity_for(settings: Settings, *, kept: bool) -> Path | None:
    """Where the identity is that the peer may know; None for a passing one. Nothing is made."""
    if settings.directory is None and not kept:
        return None
    directory = settings.places.data
    return directory if (directory / SAVE_NAME).exists() else None


def ignore(_: "Finding") -> None: ...


def show(finding: "Finding") -> None:
    state = finding.state.value
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    mark = click.style(f"{state:8}", fg=COLOURS[state]) if coloured else f"{state:8}"
    took = "" if finding.seconds is None else f" ({finding.seconds:.1f} s)"
    click.echo(f"{mark}{finding.layer.value:15}{finding.detail}{took}")
    if finding.fix is not None:
        click.echo(f"{'':23}-> {finding.fix}")


def show_rest(report: "Report") -> None:
    """What was not looked at, and the verdict."""
    for finding in report.findings:
        if finding.state.value == "skipped":
            show(finding)
    problem = report.problem
    if problem is None:
        click.echo("all is well")
    elif problem.state.value == "limited":
        click.echo(f"it works, but less well than it could: see {problem.layer.value}")
    else:
        click.echo(f"the first layer that fails: {problem.layer.value}")


def show_document(report: "Report") -> None:
    from ..daemon.doctor_report import document

    click.echo(json.dumps(document(report), indent=1))
