"""Bootstrapping: which nodes to ask for the Tox network, and when.

In: nodes.json (the format of nodes.tox.chat), the time, our own connection. Out: contacts for
`tox_bootstrap` and `tox_add_tcp_relay`. Neighbours: node.py calls `due` on every tick; resolver.py
resolves host names. Nodes learnt while online are kept by toxcore in its savedata, not here.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from random import Random

from .._native.results import Connection
from ..errors import ConfigError
from ..state.files import read_given

SHAPE = '{"nodes": [{"ipv4": ..., "port": ..., "public_key": ...}, ...]} as nodes.tox.chat/json has it'
BUILT_IN = Path(__file__).with_name("nodes.json")
KEY_HEX_DIGITS = 64
ABSENT = ("", "-", "NONE")
HOST = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._:-]{0,253}[0-9A-Za-z.:])?|::[0-9A-Fa-f:.]{1,43}")

FIRST_NODES = 8
"""Asked at once at the start: enough even if several are dead, few enough not to be a flood."""
MORE_NODES = 4
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0
LONGEST_LOST_S = 8.0
"""The same where we are not in the network at all: it may be back at any time."""
KNOCK_S = 2.0
KNOCK_SHARE = 1 / 30
"""Outside the network, datagrams alone go out more often: each KNOCK_S, or after this share of the time lost,
if that is longer."""
HURRY_S = 3.0

Resolve = Callable[[str, Callable[[list[str]], None]], None]
"""Looks a host name up without blocking and calls back with its numeric addresses."""


@dataclass(frozen=True, slots=True)
class BootstrapNode:
    """One entry of nodes.json: its IPv4 and IPv6 hosts, each an address or a name."""

    hosts: tuple[str, ...]
    port: int
    tcp_ports: tuple[int, ...]
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Contact:
    """One address to ask now: numeric host, UDP port, at most one relay port, 32-byte DHT key."""

    host: str
    port: int
    tcp_ports: tuple[int, ...]
    public_key: bytes


def load_nodes(path: Path | None = None) -> tuple[BootstrapNode, ...]:
    """The nodes in the file given with -b, or the built-in ones. Raises ConfigError."""
    source = path or BUILT_IN
    try:
        data = BUILT_IN.read_bytes() if path is None else read_given(path)
    except OSError as error:
        raise ConfigError(
            f"cannot read {source}: {error.strerror}; -b takes a file of bootstrap nodes"
        ) from error
    return parse_nodes(data, str(source))


def parse_nodes(data: bytes, source: str) -> tuple[BootstrapNode, ...]:
    """The nodes in a document `{"nodes": [{"ipv4", "ipv6", "port", "tcp_ports", "public_key"}, ...]}`.

    Other keys are ignored. Raises ConfigError naming `source`, the entry (from 1) and what is expected.
    """
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{source} is not JSON ({reason}); expected {SHAPE}") from None
    entries = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{source} names no bootstrap nodes; expected {SHAPE}")
    return tuple(parse_node(entry, f"{source}: node {number}") for number, entry in enumerate(entries, 1))


def parse_node(entry: object, where: str) -> BootstrapNode:
    if not isinstance(entry, dict):
        raise ConfigError(
            f'{where} is {brief(entry)}; expected an object with "ipv4", "port" and "public_key"'
        )
    hosts = tuple(dict.fromkeys(parse_host(entry, name, where) for name in ("ipv4", "ipv6")))
    hosts = tuple(host for host in hosts if host)
    if not hosts:
        raise ConfigError(f'{where} has no address; give "ipv4" or "ipv6" an address or a host name')
    tcp_ports = entry.get("tcp_ports", [])
    if not isinstance(tcp_ports, list):
        raise ConfigError(f'{where}: "tcp_ports" is {brief(tcp_ports)}; expected a list of port numbers')
    return BootstrapNode(
        hosts=hosts,
        port=parse_port(entry.get("port"), '"port"', where),
        tcp_ports=tuple(parse_port(port, 'in "tcp_ports"', where) for port in tcp_ports),
        public_key=parse_key(entry.get("public_key"), where),
    )


def parse_host(entry: dict[str, object], name: str, where: str) -> str:
    """The address or host name under `name`, or "" when the list has none."""
    host = entry.get(name, "")
    if host in ABSENT or host is None:
        return ""
    if not isinstance(host, str) or not HOST.fullmatch(host):
        raise ConfigError(f'{where}: "{name}" is {brief(host)}; expected an address, a host name, or "-"')
    return host


def parse_port(port: object, name: str, where: str) -> int:
    if type(port) is not int or not 0 < port < 65536:
        raise ConfigError(f"{where}: {name} is {brief(port)}; expected a number from 1 to 65535")
    return port


def parse_key(key: object, where: str) -> bytes:
    if isinstance(key, str) and re.fullmatch(f"[0-9A-Fa-f]{{{KEY_HEX_DIGITS}}}", key):
        return bytes.fromhex(key)
    raise ConfigError(f'{where}: "public_key" is {brief(key)}; expected {KEY_HEX_DIGITS} hexadecimal digits')


def brief(value: object) -> str:
    """A value of the user's file, shortened for a one-line message."""
    if value is None:
        return "missing"
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


class Bootstrapper:
    """Sans-IO: says which nodes to ask next, with growing pauses, for as long as we are not in the network.

    Each round takes other nodes, in random order, until all have been asked. While we are connected over TCP
    relays only, it goes on asking over UDP: a toxcore that has never reached a node that way stops trying,
    and would stay on relays after the machine has moved to a network that lets UDP through.
    """

    def __init__(
        self, nodes: tuple[BootstrapNode, ...], random: Random, resolve: Resolve | None = None
    ) -> None:
        self._nodes = nodes
        self._random = random
        self._resolve = resolve
        self._turns: Iterator[BootstrapNode] = iter(())
        self._ready: list[Contact] = []
        self._rounds = 0
        self._due_s = float("-inf")
        self._hurries_until_s = float("-inf")
        self._knock_s = float("-inf")
        self._lost_s: float | None = None
        """Since when we are not in the network."""

    def hurry(self, now: float) -> None:
        """The network around us has changed: asks at once, whatever toxcore believes to be connected to."""
        self._rounds = 0
        self._due_s = now
        self._hurries_until_s = now + HURRY_S

    def due(self, now: float, connection: Connection) -> list[Contact]:
        """The nodes to ask now, mostly none. Cheap, to be called several times a second."""
        hurries = now < self._hurries_until_s
        if connection is not Connection.NONE:
            self._lost_s = None
        elif self._lost_s is None:
            self._lost_s = now
            self._rounds = 0
            self._due_s = min(self._due_s, now + FIRST_PAUSE_S)  # on relays, the pause may be a minute
        if connection is Connection.UDP and not hurries:
            self._rounds = 0
            # toxcore's own attempts come first when we drop out
            self._due_s = self._knock_s = now + FIRST_PAUSE_S
            self._ready.clear()
            return []
        if now >= self._due_s:
            count = MORE_NODES if self._rounds else FIRST_NODES
            for node in self._choose(count):
                self._ask(node)
            longest_s = LONGEST_PAUSE_S if connection is Connection.TCP else LONGEST_LOST_S
            self._due_s = now + min(FIRST_PAUSE_S * 2.0**self._rounds, longest_s)
            self._rounds = min(self._rounds + 1, 16)
            self._knock_s = self._next_knock_s(now)
        elif self._lost_s is not None and now >= self._knock_s:
            for node in self._choose(MORE_NODES):
                self._ready += knocks(node)
            self._knock_s = self._next_knock_s(now)
        contacts, self._ready = self._ready, []
        if connection is Connection.TCP and not hurries:
            return [replace(contact, tcp_ports=()) for contact in contacts]
        return contacts

    def _next_knock_s(self, now: float) -> float:
        lost_for_s = 0.0 if self._lost_s is None else now - self._lost_s
        return now + min(max(KNOCK_S, lost_for_s * KNOCK_SHARE), LONGEST_LOST_S)

    def _choose(self, count: int) -> Iterator[BootstrapNode]:
        for _ in range(min(count, len(self._nodes))):
            node = next(self._turns, None)
            if node is None:
                self._turns = iter(self._random.sample(self._nodes, len(self._nodes)))
                node = next(self._turns)
            yield node

    def _ask(self, node: BootstrapNode) -> None:
        # one relay port per round: toxcore keeps one connection per relay, and a firewall may pass only some
        tcp_ports = (self._random.choice(node.tcp_ports),) if node.tcp_ports else ()

        def found(addresses: list[str]) -> None:
            self._ready += [Contact(host, node.port, tcp_ports, node.public_key) for host in addresses]

        for host in node.hosts:
            if is_numeric(host):
                found([host])
            elif self._resolve is not None:
                self._resolve(host, found)


def knocks(node: BootstrapNode) -> list[Contact]:
    """Its addresses, without its relays, and without a look-up of names."""
    return [Contact(host, node.port, (), node.public_key) for host in node.hosts if is_numeric(host)]


def is_numeric(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
