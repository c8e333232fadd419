"""Asks bootstrap nodes whether they answer, beside libtoxcore, which does not say.

In: the nodes of the list. Out: which ones answered over UDP, and which accepted a connection to a relay port.
Over UDP we request a node's version and message of the day: 78 bytes that begin with 0xF0, as the answer does
(c-toxcore, other/bootstrap_node_packets.c). Nodes can have that disabled, so silence proves nothing.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from ..tox.bootstrap import BootstrapNode, is_numeric
from ..tox.resolver import Names
from .layers import wait_until
from .observations import BootstrapSeen

INFO_ID = 0xF0
INFO_REQUEST = bytes([INFO_ID]) + bytes(77)
ANSWER_BYTES = 1 + 4 + 256
ANSWERS_S = 3.0
"""The time for all nodes together to answer."""
RETRY_S = 0.7
RESOLVE_S = 3.0
SILENT_S = 8.0
"""The time for libtoxcore to connect over UDP when no node has answered the request."""


@dataclass(frozen=True, slots=True)
class ResolvedNode:
    """A node and its numeric addresses."""

    node: BootstrapNode
    hosts: tuple[str, ...]


@dataclass(slots=True)
class Answers:
    """The keys of the nodes that answered."""

    udp: set[bytes]
    tcp: set[bytes]


async def resolve(nodes: Iterable[BootstrapNode]) -> tuple[list[ResolvedNode], tuple[str, ...]]:
    """Returns the nodes with an address, and the names for which none was found within RESOLVE_S."""
    nodes = list(nodes)
    names = {host for node in nodes for host in node.hosts if not is_numeric(host)}
    found = await _look_up(names)
    addressed = []
    for node in nodes:
        hosts = [each for host in node.hosts for each in found.get(host, [host] if is_numeric(host) else [])]
        if hosts:
            addressed.append(ResolvedNode(node, tuple(dict.fromkeys(hosts))))
    return addressed, tuple(sorted(names - found.keys()))


async def _look_up(names: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    done = asyncio.Event()

    def found_one(name: str, addresses: list[str]) -> None:
        found[name] = addresses
        if len(found) == len(names):
            done.set()

    resolver = Names(asyncio.get_running_loop())
    for name in names:
        resolver.resolve(name, lambda addresses, name=name: found_one(name, addresses))  # type: ignore[misc]
    if names:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RESOLVE_S):
                await done.wait()
    return found


async def check_bootstrap(nodes: list[ResolvedNode], path: Callable[[], str]) -> BootstrapSeen:
    """`path` returns how libtoxcore is connected meanwhile (Connection.path)."""
    answers = await ask(nodes)
    if not answers.udp:
        await wait_until(lambda: path() == "udp", SILENT_S)
    return BootstrapSeen(asked=len(nodes), udp=len(answers.udp), tcp=len(answers.tcp), path=path())


async def ask(nodes: Iterable[ResolvedNode]) -> Answers:
    """Returns which nodes answer; takes ANSWERS_S unless all do."""
    nodes = list(nodes)
    answers = Answers(set(), set())
    udp = _UdpQueries(nodes, answers.udp)
    work = [asyncio.create_task(udp.run())]
    work += [
        asyncio.create_task(_try_relay(each, port, answers.tcp))
        for each in nodes
        for port in each.node.tcp_ports
    ]
    _, late = await asyncio.wait(work, timeout=ANSWERS_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    return answers


async def _try_relay(node: ResolvedNode, port: int, answered: set[bytes]) -> None:
    loop = asyncio.get_running_loop()
    for host in node.hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (host, port))
            answered.add(node.node.public_key)
            return


class _UdpQueries:
    """Sends requests over UDP; an answer counts for the node at its source address."""

    def __init__(self, nodes: list[ResolvedNode], answered: set[bytes]) -> None:
        self._nodes = {
            (ip_address(host), each.node.port): each.node.public_key for each in nodes for host in each.hosts
        }
        self._answered = answered
        self._all = asyncio.Event()

    async def run(self) -> None:
        """Runs until all have answered, or until it is cancelled."""
        loop = asyncio.get_running_loop()
        sockets: dict[int, socket.socket] = {}  # by IP version
        with contextlib.ExitStack() as undo:
            for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                with contextlib.suppress(OSError):  # a kernel without IPv6
                    sock = sockets[version] = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                    sock.setblocking(False)
                    loop.add_reader(sock, self._receive, sock)
                    undo.callback(loop.remove_reader, sock)
            while not self._all.is_set():
                self._ask(sockets)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await self._all.wait()

    def _ask(self, sockets: dict[int, socket.socket]) -> None:
        for (address, port), public_key in self._nodes.items():
            if public_key not in self._answered and (sock := sockets.get(address.version)):
                with contextlib.suppress(OSError):  # no route, or a firewall of this machine
                    sock.sendto(INFO_REQUEST, (str(address), port))

    def _receive(self, sock: socket.socket) -> None:
        try:
            data, (host, port, *_) = sock.recvfrom(ANSWER_BYTES)
        except OSError:  # an earlier datagram was refused
            return
        public_key = self._nodes.get((ip_address(host), port))
        if public_key is not None and data[:1] == INFO_REQUEST[:1]:
            self._answered.add(public_key)
            if self._answered.issuperset(self._nodes.values()):
                self._all.set()
