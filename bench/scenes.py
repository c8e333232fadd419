"""The networks that people have, two ends at a time, made in a lab; and what toxvpn is to make of them.

A scene makes fresh hosts and routers, named after its number. The server has been up for a while when the
client starts.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lab import Host, Lab, Nat, apps
from lab.nat import NatKind

Path = Literal["direct", "relay"]
PROXY_PORT = 3128
PORTAL_PORT = 80
NARROW_BYTES = 1280


@dataclass(frozen=True, slots=True)
class Ends:
    """`environment` is the client's. `opens` ends what keeps the client from the network."""

    client: Host
    server: Host
    environment: Mapping[str, str] = field(default_factory=dict)
    opens: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    what: str
    best: Path
    """The path that one could hope for."""
    make: Callable[["Street"], Ends]


class Street:
    """Makes the hosts of one scene in a lab, named after its number."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.lab = lab
        self._number = number

    def name(self, word: str) -> str:
        return f"{word}{self._number}"

    def server(self, *, ipv6: bool = True) -> Host:
        return self.lab.host(self.name("box"), ipv6=ipv6)

    def client(self, *, ipv6: bool = True) -> Host:
        return self.lab.host(self.name("laptop"), ipv6=ipv6)

    def router(self, word: str, kind: NatKind = "cone", *, hairpin: bool = False, ipv6: bool = False) -> Nat:
        return self.lab.nat(self.name(word), kind, hairpin=hairpin, ipv6=ipv6)

    def carrier(self, word: str, kind: NatKind = "cone", *, hairpin: bool = False) -> Nat:
        return self.lab.carrier(self.name(word), kind, hairpin=hairpin)

    def server_at(self, router: Nat) -> Host:
        return router.host(self.name("box"))

    def client_at(self, router: Nat) -> Host:
        return router.host(self.name("laptop"))


def between(client: Callable[[Street], Host], server: Callable[[Street], Host]) -> Callable[[Street], Ends]:
    return lambda street: Ends(client(street), server(street))


def public(street: Street) -> Host:
    return street.server()


def behind(kind: NatKind, *, ipv6: bool = False) -> Callable[[Street], Host]:
    """The client, behind a router of this kind."""
    return lambda street: street.client_at(street.router("near", kind, ipv6=ipv6))


def server_behind(kind: NatKind, *, ipv6: bool = False) -> Callable[[Street], Host]:
    return lambda street: street.server_at(street.router("far", kind, ipv6=ipv6))


def mapped(street: Street) -> Host:
    """The server, behind a router that maps ports by PCP."""
    return street.server_at(street.lab.nat(street.name("far"), "symmetric", maps=["pcp"]))


def customer(kind: NatKind) -> Callable[[Street], Host]:
    """The client, at a home behind a provider's NAT of this kind."""
    return lambda street: street.client_at(street.carrier("cgnat", kind).nat(street.name("near")))


def server_customer(kind: NatKind) -> Callable[[Street], Host]:
    return lambda street: street.server_at(street.carrier("cgnatf", kind).nat(street.name("far")))


def mobile(street: Street) -> Host:
    return street.client_at(street.lab.nat64(street.name("near")))


def same_home(kind: NatKind = "cone") -> Callable[[Street], Ends]:
    def make(street: Street) -> Ends:
        router = street.router("home", kind)
        return Ends(street.client_at(router), street.server_at(router))

    return make


def guests(hairpin: bool) -> Callable[[Street], Ends]:
    def make(street: Street) -> Ends:
        router = street.router("wifi", hairpin=hairpin)
        ends = Ends(street.client_at(router), street.server_at(router))
        router.isolate(ends.client, ends.server)
        return ends

    return make


def neighbours(hairpin: bool) -> Callable[[Street], Ends]:
    def make(street: Street) -> Ends:
        carrier = street.carrier("cgnat", hairpin=hairpin)
        near, far = carrier.nat(street.name("near")), carrier.nat(street.name("far"))
        carrier.isolate(near, far)
        return Ends(street.client_at(near), street.server_at(far))

    return make


def broken(family: Literal["ip", "ip6"]) -> Callable[[Street], Ends]:
    def make(street: Street) -> Ends:
        ends = Ends(street.client(), street.server())
        assert ends.client.uplink
        ends.client.uplink.swallow(family)
        return ends

    return make


def without_ipv4(street: Street) -> Host:
    host = street.client()
    host.run(["ip", "-4", "address", "flush", "dev", host.interface])
    host.ipv4 = None
    return host


def proxied(scheme: str) -> Callable[[Street], Ends]:
    def make(street: Street) -> Ends:
        router = street.router("company", "closed")
        apps.proxy(router, PROXY_PORT)
        where = f"{scheme}://{router.lan.ip}:{PROXY_PORT}"
        return Ends(street.client_at(router), street.server(), {"ALL_PROXY": where})

    return make


def portal(street: Street) -> Ends:
    router = street.router("hotel", "portal")
    apps.http_server(router, router.directory, PORTAL_PORT)
    return Ends(street.client_at(router), street.server(), opens=lambda: router.become("cone"))


def narrow(street: Street) -> Ends:
    router = street.router("lte")
    assert router.uplink
    router.uplink.narrow(NARROW_BYTES)
    return Ends(street.client_at(router), street.server())


PEOPLE: Mapping[str, Scene] = {
    "Server": Scene("two hosts with public addresses", "direct", lambda s: Ends(s.client(), s.server())),
    "Home": Scene("behind a home's NAT, to a server", "direct", between(behind("cone"), public)),
    "Home to home": Scene(
        "each behind a home's NAT", "direct", between(behind("cone"), server_behind("cone"))
    ),
    "Home with IPv6": Scene(
        "as before, and public IPv6 behind firewalls", "direct",
        between(behind("cone", ipv6=True), server_behind("cone", ipv6=True)),
    ),
    "Same home": Scene("both on one LAN", "direct", same_home()),
    "Same home, no Internet": Scene("one LAN, and no bootstrap node", "direct", same_home("closed")),
    "Guest Wi-Fi": Scene("one NAT with hairpin, which keeps hosts apart", "direct", guests(True)),
    "Guest Wi-Fi, no hairpin": Scene("the same without hairpin", "relay", guests(False)),
    "CGNAT": Scene(
        "a home behind a provider's NAT, to a server", "direct", between(customer("cone"), public)
    ),
    "CGNAT to home": Scene(
        "the same, to another home", "direct", between(customer("cone"), server_behind("cone"))
    ),
    "CGNAT to CGNAT": Scene(
        "two providers' NATs", "direct", between(customer("cone"), server_customer("cone"))
    ),
    "Strict CGNAT to home": Scene(
        "the provider's NAT uses random ports", "direct",
        between(customer("symmetric"), server_behind("cone")),
    ),
    "Neighbours": Scene("two homes behind one CGNAT with hairpin", "direct", neighbours(True)),
    "Neighbours, no hairpin": Scene("the same without hairpin", "relay", neighbours(False)),
    "Mobile to IPv4": Scene(
        "IPv6 only, with NAT64, to a server without IPv6", "direct",
        between(mobile, lambda s: s.server(ipv6=False)),
    ),
    "Mobile to home": Scene(
        "IPv6 only, with NAT64, to a home's NAT", "direct", between(mobile, server_behind("cone"))
    ),
    "Mobile to server": Scene("IPv6 only, to a server that has both", "direct", between(mobile, public)),
    "IPv6-only to IPv4-only": Scene(
        "nothing translates", "relay", between(without_ipv4, lambda s: s.server(ipv6=False))
    ),
    "Broken IPv6": Scene("both families, and IPv6 gets nowhere", "direct", broken("ip6")),
    "Broken IPv4": Scene("both families, and IPv4 gets nowhere", "direct", broken("ip")),
    "Hotel": Scene("a captive portal, counted from when it opens", "direct", portal),
    "Hotel without UDP": Scene("UDP is blocked on one side", "relay", between(behind("udp-blocked"), public)),
    "Two without UDP": Scene(
        "UDP is blocked on both sides", "relay", between(behind("udp-blocked"), server_behind("udp-blocked"))
    ),
    "Corporate": Scene("nothing but TCP to port 443", "relay", between(behind("https-only"), public)),
    "Corporate, SOCKS5": Scene("nothing but a SOCKS5 proxy", "relay", proxied("socks5")),
    "Corporate, HTTP": Scene("nothing but an HTTP proxy", "relay", proxied("http")),
    "LTE": Scene("an MTU of 1280 and no ICMP on the way", "direct", narrow),
    "Office": Scene(
        "behind a NAT with random ports, to a server", "direct", between(behind("symmetric"), public)
    ),
    "Office to home": Scene(
        "the same, to a home's NAT", "direct", between(behind("symmetric"), server_behind("cone"))
    ),
    "Office to office": Scene(
        "random ports on both sides", "direct", between(behind("symmetric"), server_behind("symmetric"))
    ),
    "Office to office, PCP": Scene(
        "the same, and one router maps ports", "direct", between(behind("symmetric"), mapped)
    ),
}  # fmt: skip

KINDS: Mapping[NatKind | Literal["none"], str] = {
    "none": "no NAT",
    "full-cone": "full cone",
    "cone": "port-restricted",
    "moved-cone": "port-restricted, other port",
    "symmetric": "symmetric",
}


def scene_of(one: str, other: str) -> str:
    return f"{one} x {other}"


def kinds_of(only: str) -> dict[str, Scene]:
    """A scene for each kind with each, of which the name is found by the expression."""

    found = {}
    for number, one in enumerate(KINDS):
        for other in list(KINDS)[: number + 1]:
            make = between(
                Street.client if one == "none" else behind(one),
                public if other == "none" else server_behind(other),
            )
            found[scene_of(one, other)] = Scene("", "direct", make)
    return {name: scene for name, scene in found.items() if re.search(only, name)}
