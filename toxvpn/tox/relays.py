"""Has toxcore make its connections to relays anew.

toxcore takes a connection for good until a ping of its own, one in 30 s, has had no answer for 10 s. It does
not notice that the other end has closed it, nor that our address is gone. What it notices at once is a
packet of an impossible length. So its socket is replaced by one that such a packet has come in on.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping

from .._native.toxcore import Tox
from ..wire.introduction import NodeAt

MOST_DATAGRAMS = 100_000
"""More than a receive buffer holds. Who sends faster than we drop is not waited for."""
NONSENSE = b"\xff" * 4096
"""A length of 65535 bytes, where 2048 is the most, or the rest of a packet that cannot be decrypted."""


def reconnect_relays(tox: Tox, is_lost: Callable[[str, str], bool]) -> int:
    """Breaks the connections for which `is_lost(local address, address of the relay)`. Returns how many."""
    return sum(_break_if_lost(fd, is_lost) for fd, datagram in tox.sockets() if not datagram)


def _break_if_lost(fd: int, is_lost: Callable[[str, str], bool]) -> bool:
    connection = socket.socket(fileno=fd)
    try:
        local, relay = connection.getsockname()[0], connection.getpeername()[0]
    except OSError:  # it listens, or is not connected any more
        return False
    finally:
        connection.detach()  # must not close it
    if not is_lost(plain(local), plain(relay)):
        return False
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        ours.sendall(NONSENSE)
        os.dup2(theirs.fileno(), fd, inheritable=False)
    return True


def connected_relays(tox: Tox, known: Mapping[tuple[str, int], bytes]) -> Iterator[NodeAt]:
    """The relays that it is connected to, of those `known` by address and port, with their DHT keys."""
    for fd, datagram in tox.sockets():
        if not datagram and (place := _other_end(fd)) in known and place is not None:
            yield NodeAt(*place, known[place], relay=True)


def _other_end(fd: int) -> tuple[str, int] | None:
    connection = socket.socket(fileno=fd)
    try:
        host, port = connection.getpeername()[:2]
        return plain(host), port
    except OSError:  # it listens, or is not connected yet
        return None
    finally:
        connection.detach()  # must not close it


def drop_received(tox: Tox) -> None:
    """Drops the datagrams that wait in the kernel: toxcore would take them for new."""
    for fd, datagram in tox.sockets():
        if datagram:
            with socket.socket(fileno=os.dup(fd)) as udp, contextlib.suppress(OSError):
                for _ in range(MOST_DATAGRAMS):
                    udp.recv(1, socket.MSG_DONTWAIT)


def plain(address: str) -> str:
    """Without the prefix of an IPv4 address that is mapped into IPv6 (RFC 4291 §2.5.5.2)."""
    return address.removeprefix("::ffff:")
