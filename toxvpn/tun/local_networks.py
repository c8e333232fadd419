"""What this machine uses of IPv4 without us: its interfaces, routes, gateways and name servers.

In: the local interfaces (netifaces), the kernel's routes, resolv.conf; out: networks that are neither
ours nor a peer's. Neighbours: `wire.addressbook` (who heeds it), `vpn` (who looks when, and again).
"""

import socket
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from pathlib import Path

import netifaces

from ..errors import ConfigError
from ..wire.addressing import OVERLAY_IPV6, is_host_address
from .kernel import LEADING, Kernel, Route

RESOLVER_FILES = (
    Path("/etc/resolv.conf"),
    Path("/run/systemd/resolve/resolv.conf"),  # what stands behind 127.0.0.53
    Path("/run/NetworkManager/no-stub-resolv.conf"),
)
DEFAULT_BITS = 8
"""A route to a network larger than any private one (10.0.0.0/8) is a piece of a default route."""


@dataclass(frozen=True, slots=True)
class Use:
    """A network, and who uses it, for messages. `apart`: it says nothing of its neighbourhood.

    Where an interface or a route lies, others will follow, and programs (Tailscale) take the rest of
    that range for theirs; not so with a single gateway or name server, or another network of toxvpn.
    """

    network: IPv4Network
    what: str
    apart: bool = False


def local_uses(
    kernel: Kernel, ignore: Collection[str] = (), resolver_files: Iterable[Path] = RESOLVER_FILES
) -> list[Use]:
    """What everything but the interfaces named in `ignore` uses."""
    return [*_attached(ignore), *_routed(kernel.routes, ignore), *_name_servers(resolver_files)]


def check_requested(address: IPv4Address, uses: Iterable[Use]) -> None:
    """Raises ConfigError: the address (of --address) cannot be ours; why, and what to do."""
    if not is_host_address(address):
        raise ConfigError(f"The address {address} can be no host's: choose another with --address.")
    if address.is_global:
        raise ConfigError(
            f"The address {address} is a public one, which no peer would believe: choose a private one "
            "with --address, such as 10.x.y.z."
        )
    for use in uses:
        if address in use.network:
            raise ConfigError(
                f"The address {address} lies in {use.network} {use.what}: "
                "choose another with --address, or leave it out and one is chosen."
            )


def _attached(ignore: Collection[str]) -> Iterator[Use]:
    for name in netifaces.interfaces():
        if name in ignore:
            continue
        apart = _is_toxvpn(name)
        for entry in netifaces.ifaddresses(name).get(netifaces.AF_INET, ()):
            mask = entry.get("mask") or entry.get("netmask") or "255.255.255.255"
            network = IPv4Interface(f"{entry['addr']}/{mask}").network
            yield Use(network, f"of the interface {name}", apart)


def _routed(routes: Iterable[Route], ignore: Collection[str]) -> Iterator[Use]:
    name, is_toxvpn = cache(_name), cache(_is_toxvpn)
    for route in routes:
        through = {name(index) for index in route.interfaces}
        if ":" in route.destination or route.kind not in LEADING or (through and through <= set(ignore)):
            continue
        network = IPv4Network(route.destination)
        if network.prefixlen >= DEFAULT_BITS:
            apart = bool(through) and all(map(is_toxvpn, through))
            yield Use(network, f"of a route through {', '.join(sorted(through)) or 'nothing'}", apart)
        for gateway in route.gateways:
            if ":" not in gateway:
                yield Use(IPv4Network(gateway), "of a gateway", apart=True)


def _name_servers(files: Iterable[Path]) -> Iterator[Use]:
    for path in files:
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for key, *values in filter(None, map(str.split, lines)):
            with suppress(ValueError):
                if key == "nameserver" and values:
                    yield Use(IPv4Network(values[0]), f"of a name server in {path}", apart=True)


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def _is_toxvpn(name: str) -> bool:
    entries = netifaces.ifaddresses(name).get(netifaces.AF_INET6, ())
    return any(IPv6Address(entry["addr"]) in OVERLAY_IPV6 for entry in entries)
