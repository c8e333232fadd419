"""Looks up the names of bootstrap nodes beside the exit: without Tox, there is no exit to ask for names.

In: a host name, and the mark of Tox's packets. Out: its addresses, as getaddrinfo gives them, from a name
server that this machine uses without us. Neighbours: tox/resolver.py runs this in a thread, `killswitch` lets
marked queries out. The name servers learn that this machine asks for Tox's bootstrap nodes, and nothing else.
"""

import contextlib
import socket
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

from ...tox.resolver import AddressInfos
from ..neighbours.local_networks import RESOLVER_FILES, name_servers

PORT = 53
TIMEOUT_S = 2.0
MOST_SERVERS = 3
"""As many as the C library asks (resolv.conf(5))."""


def ask_beside(
    mark: int, host: str, kind: socket.SocketKind, resolver_files: Iterable[Path] = RESOLVER_FILES
) -> AddressInfos:
    """Asks the name servers one by one, with marked packets; the system's resolver when none answers.

    Raises OSError as getaddrinfo does.
    """
    for server in servers(resolver_files):
        found = list(_ask(mark, host, kind, server))
        if found:
            return found
    return socket.getaddrinfo(host, None, type=kind)


def servers(resolver_files: Iterable[Path]) -> list[str]:
    """The first few that are not on this machine: one that is here asks with packets of its own."""
    found: dict[str, None] = {}
    for _, text in name_servers(resolver_files):
        with contextlib.suppress(ValueError):
            if not ip_address(text).is_loopback:
                found[text] = None
    return list(found)[:MOST_SERVERS]


def _ask(mark: int, host: str, kind: socket.SocketKind, server: str) -> Iterator[tuple[object, ...]]:
    """Nothing when the server does not answer, or knows no such name."""
    import dns.exception  # only where there is an exit, and a name
    import dns.message
    import dns.query

    for record, family in (("A", socket.AF_INET), ("AAAA", socket.AF_INET6)):
        try:
            query = dns.message.make_query(host, record)
            with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
                sock.setblocking(False)
                reply = dns.query.udp(query, server, TIMEOUT_S, PORT, sock=sock)
        except (OSError, dns.exception.DNSException):
            continue
        for answer in reply.answer:
            for each in answer:
                if each.rdtype == query.question[0].rdtype:
                    yield family, kind, 0, "", (each.address, 0)


def _family(server: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server else socket.AF_INET
