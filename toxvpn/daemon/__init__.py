"""The composition root: makes everything from the options, starts it in order, stops it in reverse.

Two kinds of run: daemon.py (the server, `up` and `run`, made of services.py) and client.py. What they share
is in node.py (the node and what keeps it), control.py (what the control socket answers), and process/
(background, privileges, signals, the exit code). share/ is a node for several commands.

Everything is loaded when it is asked for: a command that shares a node needs next to nothing of it.
"""

import logging
from typing import TYPE_CHECKING

from ..config.options import ClientOptions
from ..process.lean import load_asyncio

if TYPE_CHECKING:
    from ..config.flags import DaemonOptions

log = logging.getLogger("toxvpn.share")


def run_client(options: ClientOptions) -> int:
    """`toxvpn -i ID` with -L, -D PORT, -P or -p; the exit code. Raises ToxvpnError, LinkError from -P."""
    from ..share import command, rendezvous

    try:
        return command.run(options)
    except rendezvous.NotSharedError as reason:
        log.debug("no shared node: %s", reason)
    load_asyncio()
    from ..process.needs import needs
    from ..process.run import run
    from .client import call

    if options.user is not None:
        _load_the_rest()
    return run(call, options, needs(options))


def run_daemon(options: "DaemonOptions") -> int:
    """`toxvpn` alone, `up` and `run`, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    load_asyncio()
    from ..config.flags import RunKind
    from ..process.needs import needs
    from ..process.run import run
    from .daemon import serve
    from .services import load
    from .up import up

    load(options.config, for_reloads=options.user is not None)
    if options.user is not None:
        _load_the_rest()
    if options.user_network is not None:
        from . import user_network  # noqa: F401
    work = up if options.source.kind is RunKind.UP else serve
    return run(work, options, needs(options))


def _load_the_rest() -> None:
    """What a run may be asked for later, by then as the user of -U, who may not be able to read it."""
    from ..control import status_reader  # noqa: F401
    from ..portmap import upnp  # noqa: F401
    from ..report import metrics  # noqa: F401
    from . import control, measured  # noqa: F401
