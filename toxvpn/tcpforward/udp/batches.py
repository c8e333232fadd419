"""Reads and sends UDP datagrams, many of one length in one piece where that can be (UDP_GRO, UDP_SEGMENT).

In and out: the datagrams' bytes one after another, and the length of each but the last, which may be shorter.
What the kernel does not hand over in one piece is gathered here: one datagram more costs a system call to
read it, and next to nothing to send it. Source: udp(7), ip(7).
"""

import errno
import socket
import sys
from collections.abc import Iterator, Sequence
from struct import pack
from typing import Any, NamedTuple

UDP_SEGMENT, UDP_GRO = 103, 104
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50
LARGEST_BYTES = 65535
"""Of a datagram, and of a batch that the kernel has made."""
BATCH_BYTES = 65000
"""A batch of ours is not longer: with its headers it must fit into 65535 bytes."""
BATCH_DATAGRAMS = 64  # linux/udp.h UDP_MAX_SEGMENTS, in kernels up to 6.8
BUFFER_BYTES = BATCH_BYTES + LARGEST_BYTES
READS = 128
"""From one socket before the event loop's other work."""
SOCKET_BYTES = 4 << 20
"""What a socket may hold for us while we do something else, if the system allows that much."""

Control = Sequence[tuple[int, int, bytes]]
_ROOM = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(20)
_IN_PIECES = (errno.EMSGSIZE, errno.EINVAL, errno.EIO, errno.ENOPROTOOPT)
"""Errors of datagrams that need fragments, and of a device that cannot do it."""


class Batch(NamedTuple):
    """`data` is only good until the next one. `to_us` says to which of our addresses it was sent, as control
    data that `send` takes; empty unless `tell_destination` was called."""

    data: memoryview
    segment_bytes: int
    source: tuple[Any, ...]
    to_us: tuple[tuple[int, int, bytes], ...] = ()

    @property
    def datagrams(self) -> int:
        return -(-len(self.data) // self.segment_bytes) if self.segment_bytes else 1


def new_buffer() -> memoryview:
    return memoryview(bytearray(BUFFER_BYTES))


def take_batches(sock: socket.socket) -> None:
    """Has the kernel hand over batches, where it can, and hold what it must."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES)
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


def batches(sock: socket.socket, buffer: memoryview) -> Iterator[Batch]:
    """What there is to read, up to a bound. Raises ConnectionRefusedError."""
    held: Batch | None = None
    start = end = 0
    for _ in range(READS):
        try:
            got = _read(sock, buffer[end:])
        except ConnectionRefusedError:
            if held:
                yield held
            raise
        except OSError:  # above all that there is nothing
            break
        size = len(got.data)
        if held and _goes_on(held, got):
            end += size
            held = held._replace(data=buffer[start:end])
        else:
            if held:
                yield held
            start, end = end, end + size
            held = got
        if end > BATCH_BYTES:
            yield held
            held, start, end = None, 0, 0
    if held:
        yield held


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


def _read(sock: socket.socket, buffer: memoryview) -> Batch:
    """Raises OSError."""
    count, ancillary, _, source = sock.recvmsg_into([buffer], _ROOM)
    if not ancillary:
        return Batch(buffer[:count], count, source)
    segment = count
    to_us: tuple[tuple[int, int, bytes], ...] = ()
    for level, kind, content in ancillary:
        if (level, kind) == (socket.IPPROTO_UDP, UDP_GRO):
            segment = int.from_bytes(content[:4], sys.byteorder)
        elif (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):  # struct in_pktinfo: leave the interface open
            to_us = ((level, kind, bytes(4) + content[4:8] + bytes(4)),)
        elif (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            to_us = ((level, kind, content),)
    return Batch(buffer[:count], segment, source, to_us)


def _goes_on(held: Batch, more: Batch) -> bool:
    """Whether both can be one batch: of one flow, and of one length up to the last datagram."""
    size = held.segment_bytes
    return (
        0 < more.segment_bytes <= size
        and (more.segment_bytes == size or more.datagrams == 1)
        and len(held.data) % size == 0
        and len(held.data) + len(more.data) <= BATCH_BYTES
        and held.datagrams + more.datagrams <= BATCH_DATAGRAMS
        and more.source == held.source
        and more.to_us == held.to_us
    )
