"""Has toxcore make its connections to relays anew.

toxcore takes a connection for good until a ping of its own, one in 30 s, has had no answer for 10 s. It does
not notice that the other end has closed it, nor that our address is gone. What it notices at once is a
packet of an impossible length. So its socket is replaced by one that such a packet has come in on.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address

from ..._native.toxcore import Tox
from ...wire.reach.introduction import NodeAt
from ...wire.reach.mapped import may_be_public
from .sources import ANYWHERE, source_of

UNANSWERED_MS = 1500
"""The other end is gone when its kernel has acknowledged nothing for so long, and ours repeats."""
TCP_INFO = struct.Struct("@BxB21xI28xI")
"""linux/tcp.h, struct tcp_info: the state, how often the oldest segment was repeated, how many segments wait
for an acknowledgement, and milliseconds since the last one."""
ESTABLISHED = 1
ALIVE = (ESTABLISHED, 2, 3, 10)
"""Or becoming so, or listening: TCP_SYN_SENT, TCP_SYN_RECV, TCP_LISTEN."""
MOST_DATAGRAMS = 100_000
"""More than a receive buffer holds. Who sends faster than we drop is not waited for."""
NONSENSE = b"\xff" * 4096
"""A length of 65535 bytes, where 2048 is the most, or the rest of a packet that cannot be decrypted."""


def reconnect_relays(tox: Tox, is_lost: Callable[[str, str], bool]) -> int:
    """Breaks the connections for which `is_lost(local address, address of the relay)`. Returns how many.

    Those of others, who have us as a relay, are none.
    """
    port = tox.tcp_port
    return sum(_break_if_lost(fd, is_lost, port) for fd, datagram in tox.sockets() if not datagram)


def reconnect_dead_relays(tox: Tox) -> int:
    """Breaks the connections that the other end has closed, or whose other end is gone. Returns how many.

    Those of others, who have us as a relay, are none: they may be in a tunnel for a moment.
    """
    port = tox.tcp_port
    dead = [fd for fd, datagram in tox.sockets() if not datagram and _is_dead(fd, port)]
    for fd in dead:
        _break(fd)
    return len(dead)


def _is_dead(fd: int, own_port: int) -> bool:
    connection = socket.socket(fileno=fd)
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
        if own_port and connection.getsockname()[1] == own_port:
            return False
    except OSError:  # it is broken already
        return False
    finally:
        connection.detach()  # must not close it
    return is_dead(*TCP_INFO.unpack(info))


def is_dead(state: int, repeated: int, waiting: int, since_ms: int) -> bool:
    """Whether a connection is closed, or its other end gone; of struct tcp_info what TCP_INFO takes."""
    is_gone = state == ESTABLISHED and repeated and waiting and since_ms >= UNANSWERED_MS
    return bool(is_gone or state not in ALIVE)


def _break_if_lost(fd: int, is_lost: Callable[[str, str], bool], own_port: int) -> bool:
    ends = _ends(fd)
    if ends is None or ends[0][1] == own_port or not is_lost(*(host for host, _ in ends)):
        return False
    _break(fd)
    return True


def _break(fd: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        ours.sendall(NONSENSE)
        os.dup2(theirs.fileno(), fd, inheritable=False)


def connected_relays(tox: Tox, known: Mapping[tuple[str, int], bytes]) -> Iterator[NodeAt]:
    """The relays that it is connected to, of those `known` by address and port, with their DHT keys."""
    for place in places_of_relays(tox).values():
        if place in known:
            yield NodeAt(*place, known[place], relay=True)


def relay_hosts(tox: Tox) -> Iterator[str]:
    """The addresses of the relays that it is connected to."""
    return (host for host, _ in places_of_relays(tox).values())


def places_of_relays(tox: Tox) -> dict[int, tuple[str, int]]:
    """Where its connections to relays lead, by descriptor; those of others to its own relay are none."""
    ends = {fd: found for fd, datagram in tox.sockets() if not datagram and (found := _ends(fd)) is not None}
    return {fd: there for fd, (here, there) in ends.items() if here[1] != tox.tcp_port}


def own_relays(tox: Tox, mark: int = 0) -> Iterator[NodeAt]:
    """This node as a relay, at the addresses of this machine that others on the Internet may reach it at."""
    if not tox.tcp_port:
        return
    for host in (source_of(each, mark) for each in ANYWHERE):
        if host and (may_be_public(host) or (":" in host and not ip_address(host).is_private)):
            yield NodeAt(host, tox.tcp_port, tox.dht_id, relay=True)


def _ends(fd: int) -> tuple[tuple[str, int], tuple[str, int]] | None:
    """Addresses and ports of a connection: here, and there."""
    connection = socket.socket(fileno=fd)
    try:
        if connection.family == socket.AF_UNIX:  # `_break` put it there, and toxcore has not noticed
            return None
        (local, port), (other, other_port) = connection.getsockname()[:2], connection.getpeername()[:2]
        return (plain(local), port), (plain(other), other_port)
    except OSError:  # it listens, or is not connected
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
