"""The composition root: makes every part from the options, starts them in order, stops them in reverse.

One file per kind of run: serve.py, call.py, up.py, whole.py; what they share is in base.py (the node and what
keeps it), control.py (what the control socket answers), run.py (signals, the exit code).
"""

from ..config import ClientOptions, RunOptions, ServerOptions, UpOptions
from .run import run


def run_server(options: ServerOptions) -> int:
    """`toxvpn` alone, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    from .serve import serve

    return run(serve(options))


def run_client(options: ClientOptions) -> int:
    """`toxvpn -i ID` with -L, -D PORT, -P or -p; the exit code. Raises ToxvpnError, LinkError from -P."""
    from .call import call

    return run(call(options))


def run_up(options: UpOptions) -> int:
    """`toxvpn up`, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    from .up import up

    return run(up(options))


def run_whole(options: RunOptions) -> int:
    """`toxvpn run`, until a signal or `toxvpn down`; the exit code. Raises ToxvpnError."""
    from .whole import whole

    return run(whole(options))
