"""The runs with peers, until they are told to stop: `toxvpn` alone, `up` and `run`.

Each does its part of what flags and config.toml say (config/flags.py). parts.py makes it, and changes it at a
reload; control.py answers for it meanwhile, and share/lend.py lets commands use its connections.
"""

import contextlib
import logging
from functools import partial

from ..config.flags import Staying, read
from ..config.options import ServerOptions, UpOptions
from ..errors import UsageError
from ..report.progress import progress
from ..report.welcome import both_commands, tell_network, tell_server, tell_who_stays_off
from ..share.lend import lending
from ..state.places import find_places
from .control import Source, controlled
from .node import base
from .parts import Parts

log = logging.getLogger("toxvpn")


async def whole(options: Staying) -> None:
    """Raises ToxvpnError when anything of it cannot be had."""
    config = read(options)
    places = find_places(options.directory)
    async with base(options, places.data) as run, contextlib.AsyncExitStack() as undo:
        if isinstance(options, UpOptions):
            parts = Parts(run, places, config, undo, run_peers=options.peers, forwards=False)
        else:
            parts = Parts(run, places, config, undo)
        reload = partial(_reload, options, parts)
        if has_files(options):
            run.life.on_reload(reload)
        lender = await undo.enter_async_context(lending(run, parts, places.runtime, options.proxy))
        source = Source(
            run,
            "up" if parts.vpn else "server",
            parts.roster,
            parts.vpn,
            lambda: [*parts.forwards.states(), *lender.states()],
        )
        tox_id = run.node.tox.address.hex().upper()

        def renew() -> tuple[str, str]:
            return both_commands(tox_id, parts.now.config, parts.renew_secret(), places.data)

        tuntox = parts.forwarding.tuntox
        async with controlled(run, places.runtime, source, tuntox, parts.roster, reload, renew):
            parts.start()
            if config.server is not None:
                tell_server(config, parts.now.policy, tox_id, places.data)
            else:
                log.info("this machine's Tox ID: %s", tox_id)
            if parts.vpn is not None:
                tell_network(parts.vpn)
                tell_who_stays_off(config)
            run.life.ready()
            with progress(run.node, parts.wanted):
                await run.life.ended()


def has_files(options: Staying) -> bool:
    """Whether there is anything to read again."""
    return options.config_file is not None or (
        isinstance(options, ServerOptions) and options.rules_file is not None
    )


def _reload(options: Staying, parts: Parts) -> list[str]:
    """What was changed, a line each. Raises ToxvpnError; then everything is as it was."""
    if not has_files(options):
        raise UsageError("it runs without config.toml and without -f FILE: there is nothing to read again")
    return parts.apply(read(options))
