"""`toxvpn speed`: measures how fast the path to a peer is, in both directions, with no other program needed.

Neighbours: tcpforward/speed/ does it, in the toxvpn that runs here or on a node of this command; speedtext.py
has the words.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..config.node import NODE
from ..config.options import SpeedRequest
from ..errors import PeerOfflineError, PeerRefusedError, ToxvpnError
from ..members.selector import find, is_key
from ..names.zone import bare_label
from ..tcpforward.spec import RoadPolicy
from ..wire.invite import is_invite
from ..wire.toxid import ADDRESS_DIGITS, NOSPAM_BYTES, ToxId, short_key
from .ask import ask
from .callee import Callee, find_callee
from .config_flag import find_configuration
from .given_secret import find_secret
from .process_flags import ProcessOptions
from .root_flags import client_options
from .run_options import node_options, start
from .shared import PATH, SHARED, Seconds, Settings, key_option, takes
from .speedtext import live, text
from .status import failure

if TYPE_CHECKING:
    from pathlib import Path


CLEAR = "\r\x1b[K"


@click.command("speed")
@click.argument("peer")
@click.option(
    "--time",
    "seconds",
    metavar="S",
    type=Seconds(1, 60),
    default=5.0,
    show_default=True,
    help="Seconds to send in each direction.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document with a stable schema.")
@click.option("--secret-file", metavar="FILE", type=PATH, help="Where the shared secret is; see toxvpn -h.")
@click.option("--road", type=click.Choice([road.value for road in RoadPolicy]), help="See toxvpn -h.")
@click.option("--no-share", is_flag=True, help="Connect for this command alone.")
@takes((*SHARED, key_option(NODE, "proxy")))
@click.pass_obj
def command(
    settings: Settings,
    peer: str,
    seconds: float,
    as_json: bool,
    secret_file: "Path | None",
    road: str | None,
    no_share: bool,
) -> int:
    """Measure the speed to PEER: a name, key, first digits of a key, Tox ID, invite or overlay address.

    Sends for a few seconds in each direction over the road that a forward takes, and measures round trips
    meanwhile. The peer must run toxvpn and allow it: by default to who is on its network or was named there.
    Exits with 4 when it does not, with 5 when the peer is not reached.
    """
    settings.begin(logging.WARNING)
    shown = _Shown(peer, as_json=as_json, quiet=settings.quiet)
    try:
        config = find_configuration(settings, None)
        secret = find_secret(None, secret_file, os.environ)
        callee = None if secret is not None else find_here(settings, peer)
        if callee is None:
            callee = find_callee(peer, lambda: settings.places.data, time.time(), config)
        options = client_options(
            callee,
            node_options(settings, ProcessOptions(), config, passing=True),
            secret,
            speed=SpeedRequest(seconds, shown.tell),
            road=RoadPolicy(road or RoadPolicy.AUTO),
            share=not no_share,
        )
        return start(options)
    except ToxvpnError as error:
        if as_json:
            click.echo(json.dumps(failure(error), indent=1))
        raise
    finally:
        shown.clear()


class _Peer(NamedTuple):
    """A peer of the toxvpn that runs here, for members/selector.py."""

    public_key: bytes
    name: str | None
    ipv4: IPv4Address | None
    dns_name: str | None
    online: bool


def find_here(settings: Settings, wanted: str) -> Callee | None:
    """The peer among those of the toxvpn that runs here, which need not know its whole Tox ID.

    Raises PeerOfflineError, UsageError (several match).
    """
    if is_invite(wanted) or len(wanted.strip().removeprefix("tox:")) == ADDRESS_DIGITS:
        return None
    try:
        document = ask(settings, "status")
    except ToxvpnError:
        return None
    if document["self"]["mode"] not in ("up", "server"):
        return None
    peers = [_peer(each) for each in document["peers"]]
    try:
        found = find(wanted, peers, ipv4=lambda each: each.ipv4)
    except PeerRefusedError:
        named = [each for each in peers if each.dns_name and bare_label(each.dns_name) == bare_label(wanted)]
        if not named:
            return None
        found = named[0]
    if not found.online:
        raise PeerOfflineError(f"{found.name or short_key(found.public_key)} is offline")
    return Callee(ToxId(found.public_key, bytes(NOSPAM_BYTES)), kept=True)


def _peer(each: Mapping[str, Any]) -> _Peer:
    address = None if each["ipv4"] is None else ip_address(each["ipv4"])
    return _Peer(
        bytes.fromhex(each["public_key"]),
        each["name"],
        address if isinstance(address, IPv4Address) else None,
        each["dns_name"],
        each["online"],
    )


class _Shown:
    """What a person sees: a line that changes while the test runs, on a terminal, and then the result."""

    def __init__(self, typed: str, *, as_json: bool, quiet: bool) -> None:
        self._name = short_name(typed)
        self._as_json = as_json
        self._terminal = sys.stderr.isatty() and not quiet and os.environ.get("TERM") != "dumb"

    def tell(self, told: Mapping[str, Any]) -> None:
        if "result" in told:
            self.clear()
            result = told["result"]
            click.echo(json.dumps(result, indent=1) if self._as_json else text(result, self._name))
        elif self._terminal:
            click.echo(f"{CLEAR}{live(told, self._name)}", err=True, nl=False)

    def clear(self) -> None:
        """Idempotent."""
        if self._terminal:
            click.echo(CLEAR, err=True, nl=False)


def short_name(typed: str) -> str:
    """What was typed, but not a long key, and no invite, which is secret."""
    if is_invite(typed):
        return "the peer"
    return typed.strip().removeprefix("tox:")[:8].upper() if is_key(typed) else typed
