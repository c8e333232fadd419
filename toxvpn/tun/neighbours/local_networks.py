"""IPv4 networks that this machine uses without us: of its interfaces, routes, gateways and name servers.

In: the local interfaces (netifaces), the kernel's routes, resolv.conf; out: networks from which neither we
nor a peer may have an address. Neighbours: `wire.addressbook` (which avoids them), `reconcile` (which looks
again).
"""

import socket
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from pathlib import Path

import netifaces

from ...errors import ConfigError
from ...wire.addressing import OVERLAY_IPV6, is_host_address
from ..host.kernel import USABLE_KINDS, KernelTables, Route

RESOLVER_FILES = (
    Path("/etc/resolv.conf"),
    Path("/run/systemd/resolve/resolv.conf"),  # what stands behind 127.0.0.53
    Path("/run/NetworkManager/no-stub-resolv.conf"),
)
DEFAULT_BITS = 8
"""A route to a larger network than the largest private one (10.0.0.0/8) is part of a default route."""


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """A network; `what` is for messages, and says what uses it.

    An interface or a route blocks the whole range (wire/addressing.py RANGES) that it lies in: others may
    follow there, and programs such as Tailscale treat the range as theirs. An `isolated` network does not:
    a single gateway or name server, or another network of toxvpn.
    """

    network: IPv4Network
    what: str
    isolated: bool = False


def local_networks(
    tables: KernelTables, ignore: Collection[str] = (), resolver_files: Iterable[Path] = RESOLVER_FILES
) -> list[LocalNetwork]:
    """Everything that is used, except through `tables.link` and the interfaces named in `ignore`.

    The link may be renamed any moment, so it is known by its index.
    """
    index = tables.link.index if tables.link else None
    ours = {address for name in ignore for address in _addresses(name)}
    return [
        *_attached(ignore, index),
        *_routed(tables.routes, ignore, index),
        *_name_servers(resolver_files, ours),
    ]


def split(local: Collection[LocalNetwork]) -> tuple[list[IPv4Network], list[IPv4Network]]:
    """The networks that block their whole range, and the isolated ones, for AddressBook.set_local."""
    isolated = [each.network for each in local if each.isolated]
    return [each.network for each in local if not each.isolated], isolated


def check_requested(address: IPv4Address, local: Iterable[LocalNetwork]) -> None:
    """Raises ConfigError, with the reason and the remedy, when the requested address cannot be ours."""
    if not is_host_address(address):
        raise ConfigError(f"{address} cannot be a host's address: choose another one with --address")
    if address.is_global:
        raise ConfigError(
            f"{address} is a public address, which peers would not accept: "
            "choose a private one with --address, such as 10.9.8.7"
        )
    for each in local:
        if address in each.network:
            raise ConfigError(
                f"the address {address} lies in {each.network} {each.what}: "
                "choose another one with --address, or leave it out to get one chosen"
            )


def _attached(ignore: Collection[str], index: int | None) -> Iterator[LocalNetwork]:
    for name in sorted(netifaces.interfaces()):  # it knows no order of its own
        if name in ignore or _index(name) == index:
            continue
        with suppress(ValueError):  # there is no such interface any more
            isolated = _is_toxvpn(name)
            for entry in netifaces.ifaddresses(name).get(netifaces.AF_INET, ()):
                mask = entry.get("mask") or entry.get("netmask") or "255.255.255.255"
                network = IPv4Interface(f"{entry['addr']}/{mask}").network
                yield LocalNetwork(network, f"of the interface {name}", isolated)


def _routed(routes: Iterable[Route], ignore: Collection[str], ours: int | None) -> Iterator[LocalNetwork]:
    name, is_toxvpn = cache(_name), cache(_is_toxvpn)
    for route in routes:
        through = {name(index) for index in route.interfaces if index != ours}
        if ":" in route.destination or route.kind not in USABLE_KINDS:
            continue
        if route.interfaces and through <= set(ignore):
            continue
        network = IPv4Network(route.destination)
        if network.prefixlen >= DEFAULT_BITS:
            isolated = bool(through) and all(map(is_toxvpn, through))
            yield LocalNetwork(
                network, f"of a route through {', '.join(sorted(through)) or 'nothing'}", isolated
            )
        for gateway in route.gateways:
            if ":" not in gateway:
                yield LocalNetwork(IPv4Network(gateway), "of a gateway", isolated=True)


def _name_servers(files: Iterable[Path], ours: Collection[str]) -> Iterator[LocalNetwork]:
    """Except our own, at the addresses `ours`."""
    for path, text in name_servers(files):
        with suppress(ValueError):
            if text not in ours:
                yield LocalNetwork(IPv4Network(text), f"of a name server in {path}", isolated=True)


def name_servers(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """What each file names as one: an address, or an IPv6 address with its interface, or anything."""
    for path in files:
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for key, *values in filter(None, map(str.split, lines)):
            if key == "nameserver" and values:
                yield path, values[0]


def _addresses(name: str) -> list[str]:
    """The IPv4 addresses of the interface; none if there is no such interface."""
    if name not in netifaces.interfaces():
        return []
    return [entry["addr"] for entry in netifaces.ifaddresses(name).get(netifaces.AF_INET, ())]


def _index(name: str) -> int:
    """0 when there is no such interface."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def _is_toxvpn(name: str) -> bool:
    try:
        entries = netifaces.ifaddresses(name).get(netifaces.AF_INET6, ())
    except ValueError:  # there is no such interface any more
        return False
    return any(IPv6Address(entry["addr"]) in OVERLAY_IPV6 for entry in entries)
