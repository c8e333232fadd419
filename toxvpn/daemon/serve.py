"""`toxvpn` alone: the serving side of forwards."""

import logging
import sys
from pathlib import Path

from ..config import ServerOptions
from ..tcpforward.forwarding import Forwarding
from ..tcpforward.rules import Rules, load_rules
from ..tcpforward.server import Server
from ..tcpforward.spec import Road
from ..tox.friends import Authority
from ..tox.places import find_places
from ..tox.secretfile import SECRET_NAME, kept_secret
from .base import Base, base
from .control import Source, controlled

log = logging.getLogger("toxvpn")


async def serve(options: ServerOptions) -> None:
    rules = load_rules(options.rules_file) if options.rules_file else Rules()
    places = find_places(options.directory)
    async with base(options, places.data) as run:
        authority = _authority(options, places.data)
        roster = run.roster(authority)
        forwarding = Forwarding(run.node, run.announcement, Road.AUTO, Server(rules).serve)
        try:
            source = Source(run, "server", roster)
            async with controlled(run, places.runtime, source, forwarding.lossless, roster):
                roster.start()
                run.node.start()
                _tell_how_to_connect(run, options, places.data, authority)
                await run.stopping.wait()
        finally:
            await forwarding.close()


def _authority(options: ServerOptions, directory: Path) -> Authority:
    secret = options.secret
    if secret is None and not options.whitelist and not options.open:
        secret = kept_secret(directory)[0]
    if options.open:
        log.warning("--open: everybody who knows the Tox ID can reach what this machine can reach")
    return Authority(whitelist=options.whitelist, secret=secret, open=options.open)


def _tell_how_to_connect(run: Base, options: ServerOptions, directory: Path, authority: Authority) -> None:
    """The Tox ID on stdout, the command for the other side on stderr; a secret of ours only to a person."""
    tox_id = run.node.tox.address.hex().upper()
    print(tox_id, flush=True)  # noqa: T201
    secret = ""
    if options.secret is not None:
        secret = "TOXVPN_SHARED_SECRET=(the secret) "
    elif authority.secret is not None:  # made by us: shown to a person, but not to a log
        kept = authority.secret.decode() if sys.stderr.isatty() else f"$(cat {directory / SECRET_NAME})"
        secret = f"TOXVPN_SHARED_SECRET={kept} "
    log.info("on the other side: %stoxvpn -i %s -L 2222:localhost:22", secret, tox_id)
