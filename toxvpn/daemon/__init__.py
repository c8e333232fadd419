"""The composition root: makes every part from the options, starts them in order, stops them in reverse.

Two kinds of run: whole.py (the server, `up` and `run`, made of parts.py) and call.py (the client). What
they share is in base.py (the node and what keeps it), control.py (what the control socket answers),
run.py (the process: background, privileges, signals, the exit code) and life.py (word of how it goes).
share/ is a node for several commands.

Everything is loaded when it is asked for: a command that shares a node needs next to nothing of it.
"""

import logging

from ..config import ClientOptions, RunOptions, ServerOptions, UpOptions

log = logging.getLogger("toxvpn.share")

FIRST_FREE_PORT = 1024
"""Those below are only root's to listen on, usually (net.ipv4.ip_unprivileged_port_start)."""


def run_server(options: ServerOptions) -> int:
    """`toxvpn` alone, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    from .run import run
    from .whole import whole

    return run(whole, options)


def run_client(options: ClientOptions) -> int:
    """`toxvpn -i ID` with -L, -D PORT, -P or -p; the exit code. Raises ToxvpnError, LinkError from -P."""
    from .share import command, meeting

    try:
        return command.run(options)
    except meeting.NotSharedError as reason:
        log.debug("no shared node: %s", reason)
    from .call import call
    from .privileges import Capability
    from .run import run

    listens = [*(forward.listen for forward in options.forwards), *options.socks]
    low = any(listen.port < FIRST_FREE_PORT for listen in listens)
    return run(call, options, {Capability.NET_BIND_SERVICE} if low else ())


def run_up(options: UpOptions) -> int:
    """`toxvpn up`, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    from .privileges import Capability
    from .run import run
    from .up import up

    return run(up, options, {Capability.NET_ADMIN})


def run_whole(options: RunOptions) -> int:
    """`toxvpn run`, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    from ..merge import read
    from .privileges import Capability
    from .run import run
    from .whole import whole

    config = read(options)
    keep = {Capability.NET_ADMIN} if config.vpn is not None else set()
    if any(forward.listen.port < FIRST_FREE_PORT for forward in config.forwards):
        keep.add(Capability.NET_BIND_SERVICE)
    return run(whole, options, keep)
