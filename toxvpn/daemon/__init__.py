"""The composition root: makes every part from the options, starts them in order, stops them in reverse.

Two kinds of run: daemon.py (the server, `up` and `run`, made of services.py) and call.py (the client). What
they share is in base.py (the node and what keeps it), control.py (what the control socket answers),
run.py (the process: background, privileges, signals, the exit code) and life.py (word of how it goes).
share/ is a node for several commands.

Everything is loaded when it is asked for: a command that shares a node needs next to nothing of it.
"""

import logging

from ..config.options import ClientOptions, RunOptions, ServerOptions, UpOptions

log = logging.getLogger("toxvpn.share")


def run_server(options: ServerOptions) -> int:
    """`toxvpn` alone, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    return _run_daemon(options)


def run_client(options: ClientOptions) -> int:
    """`toxvpn -i ID` with -L, -D PORT, -P or -p; the exit code. Raises ToxvpnError, LinkError from -P."""
    from ..share import command, meeting

    try:
        return command.run(options)
    except meeting.NotSharedError as reason:
        log.debug("no shared node: %s", reason)
    from ..process.needs import needs
    from ..process.run import run
    from .client import call

    return run(call, options, needs(options))


def run_up(options: UpOptions) -> int:
    """`toxvpn up`, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    from ..process.needs import needs
    from ..process.run import run
    from .up import up

    return run(up, options, needs(options))


def run_daemon(options: RunOptions) -> int:
    """`toxvpn run`, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    return _run_daemon(options)


def _run_daemon(options: ServerOptions | RunOptions) -> int:
    from ..process.needs import needs
    from ..process.run import run
    from .daemon import serve

    return run(serve, options, needs(options))
