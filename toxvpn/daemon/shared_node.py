"""The process of a shared node, from its start by a command (share/start.py) to its end.

In: a listening socket, and the options from a pipe at stdin. Out: an exit code, which nobody reads. When the
node cannot start, it sends the reason to the commands that wait.
"""

import contextlib
import logging
import os
import pickle
import socket
import sys
from functools import partial

from .. import linux
from ..config.options import ClientOptions
from ..errors import ToxvpnError
from ..process.lifecycle import Lifecycle
from ..process.needs import needs
from ..process.run import run
from ..share.logfile import open_log_file
from ..share.logrelay import NodeLogRelay
from ..share.node import SharedNode, refuse_commands
from ..share.rendezvous import Rendezvous
from ..wire.toxid import short_key
from .client import running_client

log = logging.getLogger("toxvpn.share")

PROCESS_NAME = "toxvpn-shared"  # for ps and top, at most 15 bytes


def main(descriptor: int) -> int:
    """Runs the node; returns the exit code. `descriptor` is that of the listener."""
    linux.set_process_name(PROCESS_NAME)
    rendezvous, options = pickle.load(sys.stdin.buffer)  # from the command that started us, which is our own
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    listener = socket.socket(fileno=descriptor)
    log_relay = NodeLogRelay(open_log_file(options.directory))
    work = partial(serve, rendezvous=rendezvous, listener=listener, log_relay=log_relay)
    try:
        return run(work, options, needs(options))
    except Exception:
        log.exception("the shared node failed")
        return ToxvpnError.exit_code


async def serve(
    options: ClientOptions,
    lifecycle: Lifecycle,
    *,
    rendezvous: Rendezvous,
    listener: socket.socket,
    log_relay: NodeLogRelay,
) -> None:
    """Serves commands until the node has been idle for long enough, or is stopped."""
    log.info("a shared node for peer %s starts", short_key(options.server.public_key))
    # no other node starts before this one has released the identity
    with contextlib.ExitStack() as locks:
        try:
            async with running_client(options, lifecycle) as made:
                node = SharedNode(
                    made.streams,
                    made.run.node,
                    rendezvous,
                    listener,
                    log_relay,
                    locks,
                    is_kept=made.places is not None,
                )
                async with made.controlled(node.states, node.give_way):
                    made.run.node.start()
                    await node.serve()
        except ToxvpnError as failure:
            log.error("%s", failure)
            refuse_commands(rendezvous, listener, failure)
    log.info("the shared node ends")
