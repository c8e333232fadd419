"""Opens the sockets of the DNS server, and tells whether a query comes from this machine itself.

Out: for an address, a UDP and a TCP socket on one port. Where port 53 is taken or takes root, they are on
another one, which systemd-resolved can be told of.
"""

import contextlib
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

from .zone import Address

DNS_PORT = 53
BACKLOG = 16
TRIES = 8
"""A port that UDP has free may be taken for TCP."""


@dataclass(frozen=True, slots=True)
class Listening:
    """`problem`: why it is not on port 53, and what to do about it; `taken`: another program is there."""

    address: Address
    port: int
    sockets: tuple[socket.socket, socket.socket]
    problem: str | None = None
    taken: bool = False

    def close(self) -> None:
        for each in self.sockets:
            each.close()


Source = tuple[str, int] | tuple[str, int, int, int]
"""As socket.recvfrom gives it."""
SocketMaker = Callable[[int, int], socket.socket]
"""Makes a socket of that family and type, in whatever network namespace the names are for."""


def listen(address: Address, port: int = DNS_PORT, make: SocketMaker = socket.socket) -> Listening:
    """Raises OSError: the address is not this machine's."""
    problem, taken = None, False
    if port:
        try:
            return _listening(address, port, make)
        except OSError as error:
            taken, problem = error.errno == errno.EADDRINUSE, explain(error, address, port)
            if problem is None:
                raise
    for left in reversed(range(TRIES)):
        try:
            return replace(_listening(address, 0, make), problem=problem, taken=taken)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not left:
                raise
    raise AssertionError("not reached")


def explain(error: OSError, address: Address, port: int) -> str | None:
    """What keeps us from that port, and what to do; None where no other port would help."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {address} is taken, as by a dnsmasq or unbound that listens on every address: "
            "tell that one to listen on its own addresses only (bind-interfaces, interface:)"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} of {address} takes CAP_NET_BIND_SERVICE"
    return None


def is_from_here(source: Source, make: SocketMaker = socket.socket) -> bool:
    """Whether the sender of a datagram or connection has an address of this machine.

    The kernel, asked for a way to one of those, answers that it would send from that very address. It takes
    no packet with such a source from outside (RFC 1812 §5.3.7), and the packet path takes none from a peer.
    A second address in one subnet is not recognised: the kernel would send from the first.
    """
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    with make(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(source)  # sends nothing
        except OSError:
            return False
        return bool(probe.getsockname()[0] == source[0])


def _listening(address: Address, port: int, make: SocketMaker) -> Listening:
    sockets = _bound(address, port, make)
    return Listening(address, sockets[0].getsockname()[1], sockets)


def _bound(address: Address, port: int, make: SocketMaker) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with contextlib.ExitStack() as undo:
        udp = undo.enter_context(make(family, socket.SOCK_DGRAM))
        udp.bind((str(address), port))
        tcp = undo.enter_context(make(family, socket.SOCK_STREAM))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((str(address), udp.getsockname()[1]))
        tcp.listen(BACKLOG)
        undo.pop_all()
        return udp, tcp
