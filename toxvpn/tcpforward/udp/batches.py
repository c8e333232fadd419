"""Reads and sends UDP datagrams, many of one length in one piece (UDP_GRO, UDP_SEGMENT).

In and out: the datagrams' bytes one after another, and the length of each but the last, which may be shorter.
What the kernel does not hand over in one piece is gathered by `_native/net/datagrams`: another datagram costs
a system call there, and next to nothing in Python or to send. Source: udp(7), ip(7).
"""

import errno
import socket
from collections.abc import Iterator
from struct import pack
from typing import Any, NamedTuple

from ..._native.net.datagrams import Gatherer

UDP_SEGMENT, UDP_GRO = 103, 104
IP_PKTINFO, IPV6_RECVPKTINFO = 8, 49
READS = 3
"""Of up to 64 kB from one socket, before the event loop's other work."""
Control = tuple[tuple[int, int, bytes], ...]
_IN_PIECES = (errno.EMSGSIZE, errno.EINVAL, errno.EIO, errno.ENOPROTOOPT)
"""Errors of datagrams that need fragments, and of a device that cannot do it."""


class Batch(NamedTuple):
    """`data` is only good until the next one. `to_us` says to which of our addresses it was sent, as control
    data that `send` takes; empty unless `tell_destination` was called."""

    data: memoryview
    segment_bytes: int
    source: tuple[Any, ...]
    to_us: Control = ()

    @property
    def datagrams(self) -> int:
        return count(self.data, self.segment_bytes)


def count(data: bytes | memoryview, segment_bytes: int) -> int:
    """How many datagrams those are."""
    return -(-len(data) // segment_bytes) if segment_bytes else 1


def take_batches(sock: socket.socket) -> None:
    """Has the kernel hand over batches, where it can."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError:  # before Linux 5.0
        return


def tell_destination(sock: socket.socket) -> None:
    """For a socket that is bound to every address: an answer has to come from the one that was asked."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)


def batches(sock: socket.socket, gatherer: Gatherer) -> Iterator[Batch]:
    """What there is to read, up to a bound. Raises ConnectionRefusedError."""
    for _ in range(READS):
        found, error = gatherer.read(sock.fileno())
        for start, length, segment_bytes, source, to_us in found:
            yield Batch(gatherer.view[start : start + length], segment_bytes, source, to_us)
        if error == errno.ECONNREFUSED:
            raise ConnectionRefusedError
        if error:  # above all that there is nothing
            return


def send(
    sock: socket.socket, data: memoryview, segment_bytes: int, control: Control = (), to: Any = None
) -> None:
    """`to` and `control` are for a socket that is not connected. Raises OSError."""
    if len(data) > segment_bytes:
        size = (socket.IPPROTO_UDP, UDP_SEGMENT, pack("=H", segment_bytes))
        try:
            sock.sendmsg([data], [*control, size], 0, to)
            return
        except OSError as error:
            if error.errno not in _IN_PIECES:
                raise
    for at in range(0, len(data) or 1, segment_bytes or 1):
        sock.sendmsg([data[at : at + segment_bytes]], control, 0, to)
