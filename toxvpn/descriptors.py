"""Receives file descriptors over a UNIX socket (SCM_RIGHTS, unix(7)); `socket.send_fds` sends them."""

import os
import socket
from array import array
from collections.abc import Iterable


def receive(connection: socket.socket, size_bytes: int, most: int) -> tuple[bytes, list[int], bool]:
    """One packet of at most that size, the descriptors beside it, and whether any of it was cut off.

    As `socket.recv_fds`, but the descriptors, which are the caller's to close, are closed on exec. No data
    means that the other side has ended. Raises OSError (BlockingIOError is one).
    """
    room = socket.CMSG_LEN(most * array("i").itemsize)
    try:
        data, ancillary, flags, _ = connection.recvmsg(size_bytes, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:  # it ended with something of ours unread
        return b"", [], False
    descriptors = array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, list(descriptors), bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))


def close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
