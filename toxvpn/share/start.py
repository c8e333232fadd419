"""Starts a shared node: a process of its own, which outlives the command that starts it.

Its listener is made here, so that the command can connect at once and wait in the queue. The options,
which hold the secret, go through a pipe: neither arguments nor environment show them.
"""

import pickle
import socket
import subprocess

from ..config.options import ClientOptions
from ..interpreter import command_line
from .rendezvous import NotSharedError, Rendezvous, for_node

NODE = "from toxvpn.daemon import shared_node; sys.exit(shared_node.main(int(sys.argv[1])))"


def connect_or_start(rendezvous: Rendezvous, options: ClientOptions) -> socket.socket:
    """A connection to the one node, also when several commands start at once. Raises NotSharedError."""
    if (connection := rendezvous.connect()) is not None:
        return connection
    with rendezvous.lock():
        if (connection := rendezvous.connect()) is not None:
            return connection
        rendezvous.sweep()
        with rendezvous.listen() as listener:
            start(rendezvous, listener, options)
        connection = rendezvous.connect()
    if connection is None:
        raise NotSharedError(f"the shared node at {rendezvous.path} ended at once")
    return connection


def start(
    rendezvous: Rendezvous, listener: socket.socket, options: ClientOptions
) -> "subprocess.Popen[bytes]":
    """Returns as soon as the process has the listener and the options. Raises NotSharedError."""
    fd = listener.fileno()
    try:
        node = subprocess.Popen(
            command_line(NODE, [str(fd)]),
            pass_fds=[fd],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that a Ctrl-C at this terminal does not end it
            cwd="/",  # so that no file system is kept from being unmounted
        )
        assert node.stdin is not None
        with node.stdin:
            pickle.dump((rendezvous, for_node(options)), node.stdin)
    except OSError as error:
        raise NotSharedError(f"cannot start a shared node: {error.strerror or error}") from None
    return node
