"""Starts the shared node: a process of its own, which outlives the command that needed it first.

Its listener is made here, so that the command can connect at once and wait in the queue. The options,
which hold the secret, go through a pipe: neither arguments nor environment show them.
"""

import pickle
import socket
import subprocess

from ..config.options import ClientOptions
from ..interpreter import command_line
from .meeting import Meeting, NotSharedError, for_node

NODE = "from toxvpn.share import node; sys.exit(node.main(int(sys.argv[1])))"


def connect_or_start(meeting: Meeting, options: ClientOptions) -> socket.socket:
    """To the one node there is, also when several commands start at once. Raises NotSharedError."""
    if (connection := meeting.connect()) is not None:
        return connection
    with meeting.lock():
        if (connection := meeting.connect()) is not None:
            return connection
        meeting.sweep()
        with meeting.listen() as listener:
            start(meeting, listener, options)
        connection = meeting.connect()
    if connection is None:
        raise NotSharedError("the shared node ended at once")
    return connection


def start(meeting: Meeting, listener: socket.socket, options: ClientOptions) -> "subprocess.Popen[bytes]":
    """Returns as soon as the process has the listener and the options. Raises NotSharedError."""
    fd = listener.fileno()
    try:
        node = subprocess.Popen(
            command_line(NODE, [str(fd)]),
            pass_fds=[fd],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at this terminal is not meant for it
            cwd="/",  # so that no file system is kept from being unmounted
        )
        assert node.stdin is not None
        with node.stdin:
            pickle.dump((meeting, for_node(options)), node.stdin)
    except OSError as error:
        raise NotSharedError(f"the shared node does not start: {error.strerror or error}") from None
    return node
