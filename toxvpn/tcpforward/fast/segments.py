"""How many TCP segments our streams on a private stack have sent, and how many of them again (TCP_INFO)."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv6Address
from typing import NamedTuple

INFO_BYTES = 160
TOTAL_RETRANS_AT, DATA_SEGS_OUT_AT = 100, 156  # in struct tcp_info of linux/tcp.h, since Linux 4.6


class Segments(NamedTuple):
    """`sent` are those with data, repeated ones among them."""

    sent: int
    resent: int


def sockets(descriptors: Iterable[int], address: IPv6Address) -> Iterator[tuple[int, socket.socket]]:
    """Those that are TCP sockets with that address, each open for the time of one step."""
    for fd in descriptors:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
            is_tcp = sock.family == socket.AF_INET6 and sock.type == socket.SOCK_STREAM
            if is_tcp and sock.getsockname()[0] == str(address):
                yield fd, sock


def read(descriptors: Iterable[int], address: IPv6Address) -> dict[int, Segments]:
    """Of those that are TCP sockets with that address, by descriptor."""
    found = {}
    for fd, sock in sockets(descriptors, address):
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
        (resent,) = struct.unpack_from("=I", info, TOTAL_RETRANS_AT)
        (sent,) = struct.unpack_from("=I", info, DATA_SEGS_OUT_AT)
        found[fd] = Segments(sent, resent)
    return found


def between(before: Mapping[int, Segments], after: Mapping[int, Segments]) -> Segments:
    """What the streams that are there now have sent since."""
    both = [(before.get(fd, Segments(0, 0)), counts) for fd, counts in after.items()]
    grown = [(last.sent - first.sent, last.resent - first.resent) for first, last in both]
    counts = [each for each in grown if min(each) >= 0]  # else the descriptor is another stream's by now
    return Segments(sum(sent for sent, _ in counts), sum(resent for _, resent in counts))
