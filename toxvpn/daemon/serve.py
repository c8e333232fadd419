"""`toxvpn` alone: the serving side of forwards."""

import logging
import sys
from functools import partial
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
    server = Server(_rules(options))
    places = find_places(options.directory)
    async with base(options, places.data) as run:
        authority = _authority(options, places.data)
        roster = run.roster(authority)
        forwarding = Forwarding(run.node, run.announcement, Road.AUTO, server.serve)
        try:
            source = Source(run, "server", roster)
            reload = partial(_reload, options, server)
            run.life.on_reload(reload)
            async with controlled(run, places.runtime, source, forwarding.lossless, roster, reload):
                roster.start()
                run.node.start()
                _tell_how_to_connect(run, options, places.data, authority)
                run.life.ready()
                await run.stopping.wait()
        finally:
            await forwarding.close()


def _rules(options: ServerOptions) -> Rules:
    """Raises ConfigError."""
    return load_rules(options.rules_file) if options.rules_file else Rules()


def _reload(options: ServerOptions, server: Server) -> list[str]:
    """Streams that are open stay open. Raises ConfigError; then the old rules are in force."""
    if options.rules_file is None:
        return ["there is no -f FILE, the only thing to read again"]
    server.rules = _rules(options)
    return [f"{options.rules_file} is in force"]


def _authority(options: ServerOptions, directory: Path) -> Authority:
    secret = options.secret
    if secret is None and not options.whitelist and not options.open:
        secret = kept_secret(directory)[0]
    if options.open:
        log.warning("--open: everybody who knows the Tox ID can reach what this machine can reach")
    return Authority(whitelist=options.whitelist, secret=secret, open=options.open)


def _tell_how_to_connect(run: Base, options: ServerOptions, directory: Path, authority: Authority) -> None:
    """The Tox ID on stdout; the command for the other side to a person, or without our secret to the log."""
    tox_id = run.node.tox.address.hex().upper()
    print(tox_id, flush=True)  # noqa: T201
    person = sys.stderr.isatty()
    secret = ""
    if options.secret is not None:
        secret = "TOXVPN_SHARED_SECRET=(the secret) "
    elif authority.secret is not None:
        kept = authority.secret.decode() if person else f"$(cat {directory / SECRET_NAME})"
        secret = f"TOXVPN_SHARED_SECRET={kept} "
    line = f"on the other side: {secret}toxvpn -i {tox_id} -L 2222:localhost:22"
    if person and log.isEnabledFor(logging.INFO):
        print(line, file=sys.stderr)  # noqa: T201
    elif not person:
        log.info("%s", line)
