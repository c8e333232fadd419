"""`toxvpn doctor`: names the first layer that fails, and what to do about it.

Here: which peer, which identity, and printing. doctor/examine.py checks the layers.
"""

import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..config.node import NODE
from ..doctor.options import DoctorOptions
from ..errors import NotRunningError, UsageError
from ..members.peers import ConfiguredPeer
from ..members.selector import find
from ..state.identity import SAVE_NAME
from ..tcpforward.spec import parse_target
from ..wire.invite import is_invite
from ..wire.toxid import parse_tox_id
from .ask import ask
from .callee import is_selector, known_peers, secret_of
from .config_flag import CONFIG, find_configuration
from .given_secret import find_secret
from .process_flags import ProcessOptions
from .run_options import node_options
from .shared import SECRET, SHARED, Seconds, Settings, key_option, takes

if TYPE_CHECKING:
    from ..config.model import Config
    from ..doctor.findings import Finding, Report

COLOURS = {"ok": "green", "limited": "yellow", "failed": "red", "skipped": "bright_black"}


@click.command("doctor")
@click.argument("peer", required=False)
@click.option("-i", "tox_id", metavar="ID", help="The Tox ID of the machine to reach.")
@click.option("--target", metavar="HOST:PORT", help="A target to reach through it.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="S",
    type=Seconds(1),
    default=60.0,
    show_default=True,
    help="Seconds for connecting to the network, and again for reaching the peer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document whose schema is kept.")
@takes((*SECRET, CONFIG, key_option(NODE, "proxy"), *SHARED))
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
    config_file: Path | None,
) -> int:
    """Check one layer after the other, and name the first that fails and what to do about it.

    First the way into the network; then the way to PEER (a name or key that is kept here) or -i ID; then
    through it. If toxvpn is running and knows the peer, it is asked; otherwise a temporary node is made. The
    exit code is 0 when all is well, 6 when it works but less well than it could, else that of the failure.
    """
    settings.begin(logging.WARNING)  # the findings contain what would be logged
    from ..doctor.examine import run_doctor

    config = find_configuration(settings, config_file)
    subject = find_subject(settings, config, peer, tox_id)
    given = find_secret(secret, secret_file, os.environ)
    common = node_options(settings, ProcessOptions(), config, passing=True)
    options = DoctorOptions(
        **common | {"directory": subject.identity},
        secret=secret_of(subject.peer, config) if given is None and subject.peer else given,
        peer=subject.peer,
        target=None if target is None else parse_target(target),
        runtime=subject.runtime,
        timeout_s=timeout_s,
    )
    report = run_doctor(options, ignore if as_json else print_finding)
    if as_json:
        print_document(report)
    else:
        print_rest(report, peer or tox_id)
    return report.exit_code


@dataclass(frozen=True, slots=True)
class Subject:
    """The thing to check. `runtime`: of a running toxvpn to ask. `identity`: directory of one to use."""

    peer: ConfiguredPeer | None = None
    runtime: Path | None = None
    identity: Path | None = None


def find_subject(
    settings: Settings, config: "Config | None", selector: str | None, tox_id: str | None
) -> Subject:
    """Raises UsageError, PeerRefusedError."""
    if selector is not None and tox_id is not None:
        raise UsageError("a peer and -i both name the machine to reach: leave one out")
    text = tox_id or selector
    if text is not None and is_invite(text):
        raise UsageError(
            "an invite can be used only once: use it with `toxvpn join`, then name the peer here"
        )
    try:
        document = ask(settings, "status")
    except NotRunningError:
        return subject_of_new_node(settings, config, text)
    if text is None:
        return Subject(None, settings.places.runtime)
    known = [
        ConfiguredPeer(bytes.fromhex(each["public_key"]), None, each["name"]) for each in document["peers"]
    ]
    if is_selector(text):
        return Subject(find(text, known), settings.places.runtime)
    stranger = parse_server(text)
    for peer in known:
        if peer.public_key == stranger.public_key:
            return Subject(peer, settings.places.runtime)
    return Subject(stranger)


def subject_of_new_node(settings: Settings, config: "Config | None", text: str | None) -> Subject:
    """The subject when toxvpn does not run, with the identity that the peer may know; makes no files."""
    directory = settings.places.data
    kept = text is not None and is_selector(text)
    has_identity = (settings.directory is not None or kept) and (directory / SAVE_NAME).exists()
    identity = directory if has_identity else None
    if text is None:
        return Subject(identity=identity)
    peer = find(text, known_peers(directory, config)) if kept else parse_server(text)
    return Subject(peer, identity=identity)


def parse_server(text: str) -> ConfiguredPeer:
    """Raises UsageError."""
    tox_id = parse_tox_id(text)
    return ConfiguredPeer(tox_id.public_key, tox_id.nospam)


def ignore(_: "Finding") -> None: ...


def print_finding(finding: "Finding") -> None:
    state = finding.state.value
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    mark = click.style(f"{state:8}", fg=COLOURS[state]) if coloured else f"{state:8}"
    took = "" if finding.seconds is None else f" ({finding.seconds:.1f} s)"
    click.echo(f"{mark}{finding.layer.value:15}{finding.detail}{took}")
    if finding.fix is not None:
        click.echo(f"{'':23}-> {finding.fix}")


def print_rest(report: "Report", peer: str | None) -> None:
    """Prints the layers that were skipped, the verdict, and what tells more of a path that works."""
    for finding in report.findings:
        if finding.state.value == "skipped":
            print_finding(finding)
    problem = report.problem
    if problem is None:
        click.echo("all is well")
    elif problem.state.value == "limited":
        click.echo(f"it works, but less well than it could: see {problem.layer.value}")
    else:
        click.echo(f"the first layer that fails: {problem.layer.value}")
    if peer is not None and (problem is None or problem.state.value == "limited"):
        click.echo(f"how fast it is: toxvpn speed {peer}")


def print_document(report: "Report") -> None:
    from ..doctor.findings import document

    click.echo(json.dumps(document(report), indent=1))
