"""The nftables table of a machine that uses an exit: what of the user's may leave, and by which way.

In: the device, and how the exit is to be used. Out: the content of the table (nftables.py), as text. Pure.
Neighbours: client.py loads it, and makes the rules and routes that go with it.

A packet may leave through the VPN's device; through another one only if it is Tox's (its mark), an answer in
a connection that began outside, or what a network needs to work at all (ARP is not IP, so no chain sees it).
With `lan`, private addresses stay reachable. DNS is the exception: a query to a name server in the local
network would tell others each name that is looked up, so it is sent to the exit, or refused where that one
answers none.

Addresses alone decide what is local, and not routes: whoever runs the local network hands those out (DHCP,
router advertisements), and could draw public addresses to himself.

A connection that began outside is marked as Tox's are, in the connection table: then its answers are routed,
and pass, as if there were no exit. The table may see the middle of an older connection first, so its first
packet has to look like the first of one that began outside; and it has to be for an address of the device
that it came by: whoever is in the local network could send what is to answer a packet from the VPN's address,
and that one would go his way.
"""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from ..host.nftables import FAMILY_OF

MARK = 0x74
"""Marks the packets that go round the exit; shares no bit with the masks of Kubernetes (0xc000), Tailscale
(0xff0000) and Cilium (0x0f00)."""
TABLE = 0x746F78
"""The routing table of the exit: a number that no other program uses."""
FIRST_PRIORITY, LAST_PRIORITY = 30_001, 30_020
"""Of the rules: after those of Tailscale (5210 to 5270), before that of the main table."""
PURPOSE = "exit"


PRIVATE_IPV4 = tuple(
    map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"))
)
"""RFC 1918, RFC 6598, RFC 3927."""
PRIVATE_IPV6 = tuple(map(IPv6Network, ("fc00::/7", "fe80::/10")))
"""RFC 4193, RFC 4291 §2.5.6."""
PRIVATE: dict[int, tuple[IPv4Network, ...] | tuple[IPv6Network, ...]] = {4: PRIVATE_IPV4, 6: PRIVATE_IPV6}
MANY_IPV4 = tuple(map(IPv4Network, ("224.0.0.0/4", "255.255.255.255/32")))
MANY_IPV6 = (IPv6Network("ff00::/8"),)
"""Multicast, and the limited broadcast address: no router passes them on."""

NEIGHBOURS = (
    "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report"
)
OLD_MLD = "mld-listener-done"


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """`index` is the device's, None while there is none: nothing passes then that would take it.

    `lan`: private addresses stay reachable. `resolvers`: the exit's own addresses, where it answers DNS; at
    most one of each family. `servers`: the TCP ports that programs here listen on at the start: connections
    to them may be older than the table. `clients`: the UDP ports from which programs here talk at the start,
    each to one other end.
    """

    index: int | None = None
    lan: bool = True
    resolvers: tuple[IPv4Address | IPv6Address, ...] = ()
    servers: frozenset[int] = frozenset()
    clients: frozenset[int] = frozenset()

    @property
    def content(self) -> str:
        chains = (
            self._prerouting(),
            self._output(),
            self._filter(),
            self._guard(),
            self._forward(),
            self._ways(),
            *self._dns(),
        )
        return "\n".join(filter(None, chains))

    def _prerouting(self) -> str:
        """Nothing comes out of the VPN from an address that is reached by another way, nor from a link-local
        one: an exit that is let in from everywhere could pass for a router, and draw local addresses to
        itself (RFC 4861 §6.1.2 believes those alone).
        """
        older = f"tcp dport != {_set(sorted(self.servers))} " if self.servers else ""
        return _chain(
            "prerouting",
            "type filter hook prerouting priority mangle",
            'iif "lo" return',
            self._device("iif", "fib saddr . iif oif missing drop"),
            self._device("iif", "ip6 saddr fe80::/10 drop"),
            self._device("iif", "return"),
            f"ct state new tcp flags & (syn | ack) != syn {older}return",
            f"ct state new udp dport {_set(sorted(self.clients))} return" if self.clients else None,
            f"ct state new fib daddr . iif type local ct mark set {MARK}",
            f"ct mark {MARK} meta mark set {MARK}",
        )

    def _output(self) -> str:
        """Marks before the route is chosen (`type route` chooses again)."""
        ports = f"tcp sport {_set(sorted(self.servers))}" if self.servers else None
        return _chain(
            "output",
            "type route hook output priority mangle",
            f"meta mark {MARK} ct mark set {MARK} return",
            ports and f"ct state new tcp flags & syn == 0 {ports} ct mark set {MARK}",
            f"ct mark {MARK} meta mark set {MARK}",
        )

    def _filter(self) -> str:
        """A socket that was bound to another address before cannot use the exit: it learns so at once.

        The output's hooks see the device of the first route: a mark that has changed it counts first.
        """
        return _chain(
            "leaving",
            "type filter hook output priority filter",
            'oif "lo" accept',
            f"meta mark {MARK} accept",
            *self._foreign(
                "ct status & dnat == 0 meta l4proto tcp reject with tcp reset",
                f"ct status & dnat == 0 {REFUSE}",
            ),
            self._device("oif", "accept"),
            *(f"{daddr} ct status dnat accept" for daddr in self._resolvers),
            "jump ways",
        )

    def _guard(self) -> str | None:
        """A query that was sent to the exit has a new route, which only this hook sees; it may be a socket's
        that is bound to another device.
        """
        if not self.resolvers:
            return None
        rules = (f'{daddr} oif != {{ "lo", {self.index} }} drop' for daddr in self._resolvers)
        return _chain("guard", "type filter hook postrouting priority filter", *rules)

    @property
    def _resolvers(self) -> list[str]:
        return [f"{FAMILY_OF[each.version]} daddr {each}" for each in self.resolvers]

    def _forward(self) -> str:
        return _chain(
            "forward",
            "type filter hook forward priority filter",
            self._device("oif", "accept"),
            f"meta mark {MARK} accept",
            "jump ways",
        )

    def _ways(self) -> str:
        lan = (
            f"ip daddr {_set((*PRIVATE_IPV4, *MANY_IPV4))} accept",
            f"ip6 daddr {_set((*PRIVATE_IPV6, *MANY_IPV6))} accept",
        )
        return _chain(
            "ways",
            None,
            f"icmpv6 type {{ {NEIGHBOURS}, {OLD_MLD} }} accept",
            "udp sport 68 udp dport 67 accept",
            "udp sport 546 udp dport 547 accept",
            f"meta l4proto {{ tcp, udp }} th dport {{ 53, 853 }} {REFUSE}",
            *(lan if self.lan else ()),
            REFUSE,
        )

    def _dns(self) -> tuple[str, ...]:
        """Queries that would go another way than through the device are sent to the exit instead."""
        if self.index is None:
            return ()
        masquerade = _chain(
            "postrouting",
            "type nat hook postrouting priority srcnat",
            self._device("oif", "ct status dnat masquerade"),
            *self._foreign("masquerade"),
        )
        redirected = [
            (f"{family} daddr {_set(PRIVATE[each.version])}", f"dnat {family} to {each}")
            for each in self.resolvers
            for family in [FAMILY_OF[each.version]]
        ]
        dns = "meta l4proto { tcp, udp } th dport 53"
        return (
            masquerade,
            _chain(
                "dnsout",
                "type nat hook output priority -100",
                f'oif {{ "lo", {self.index} }} return',
                f"meta mark {MARK} return",
                *(f"{dns} {to}" for _, to in redirected),
            ),
            _chain(
                "dnsforward",
                "type nat hook prerouting priority dstnat",
                f'iif {{ "lo", {self.index} }} return',
                "fib daddr type local return",
                *(f"{dns} {here} {to}" for here, to in redirected),
            ),
        )

    def _foreign(self, *verdicts: str) -> list[str | None]:
        """For what leaves to a public address through the device, from an address that is another's."""
        return [
            self._device(
                "oif", f"{FAMILY_OF[version]} daddr != {_set(here)} fib saddr . oif type != local {verdict}"
            )
            for version, here in PRIVATE.items()
            for verdict in verdicts
        ]

    def _device(self, side: str, rule: str) -> str | None:
        return None if self.index is None else f"{side} {self.index} {rule}"


REFUSE = "reject with icmpx admin-prohibited"


def _set(elements: Collection[object]) -> str:
    return "{ " + ", ".join(map(str, elements)) + " }"


def _chain(name: str, hook: str | None, *rules: str | None) -> str:
    lines = [f"{hook}; policy accept;" if hook else None, *rules]
    body = "\n".join(f"    {line}" for line in lines if line)
    return f"  chain {name} {{\n{body}\n  }}"
