"""Sends and receives UDP datagrams, many of one length at once where the kernel can (UDP_GRO, UDP_SEGMENT).

In and out: the datagrams' bytes one after another, and the length of each but the last, which may be shorter.
Source: udp(7).
"""

import errno
import socket
import sys
from struct import pack
from typing import NamedTuple

UDP_SEGMENT, UDP_GRO = 103, 104
BUFFER_BYTES = 65535
_ROOM = socket.CMSG_SPACE(4)


class Batch(NamedTuple):
    """`data` is only good until the next `receive` into the same buffer."""

    data: memoryview
    segment_bytes: int
    source: tuple[str, int]


def take_batches(sock: socket.socket) -> None:
    """Has the kernel hand over batches, where it can."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError:  # before Linux 5.0
        return


def receive(sock: socket.socket, buffer: memoryview) -> Batch:
    """`buffer` has BUFFER_BYTES. Raises OSError; BlockingIOError when there is nothing."""
    count, ancillary, _, source = sock.recvmsg_into([buffer], _ROOM)
    segment = count
    for level, kind, content in ancillary:
        if (level, kind) == (socket.IPPROTO_UDP, UDP_GRO):
            segment = int.from_bytes(content[:4], sys.byteorder)
    return Batch(buffer[:count], segment, source[:2])


def send(sock: socket.socket, data: memoryview, segment_bytes: int) -> None:
    """On a connected socket. Raises OSError."""
    if len(data) <= segment_bytes:
        sock.send(data)
        return
    try:
        sock.sendmsg([data], [(socket.IPPROTO_UDP, UDP_SEGMENT, pack("=H", segment_bytes))])
    except OSError as error:
        if error.errno not in (errno.EMSGSIZE, errno.EINVAL, errno.EIO, errno.ENOPROTOOPT):
            raise
        for at in range(0, len(data), segment_bytes):  # it needs fragments, or the device cannot do it
            sock.send(data[at : at + segment_bytes])
