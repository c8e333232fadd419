"""The lab: an internet of network namespaces on one machine, with hosts, NAT routers and Tox bootstrap nodes.

    with Lab() as lab:
        lab.bootstrap()
        server = lab.nat("office").host("server")
        laptop = lab.host("laptop")
        server.popen(["toxvpn", "-b", lab.nodes_json, ...])

The internet is a router with a cable to everybody and no link in common, so nobody finds anybody by LAN
discovery. Its addresses are TEST-NETs (RFC 5737) and the documentation prefix (RFC 3849), which toxcore takes
for public ones; nothing of it can leave the machine. Names are random per lab: several may run at once.
"""

import re
import secrets
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from . import processes, registry
from .bootstrap import BootstrapNode, start_nodes, write_nodes_json
from .cable import Cable, End
from .delayline import Delay
from .errors import LabError
from .host import Host
from .mapping import MappingProtocol, map_ports
from .namespace import Namespace, Route
from .nat import CARRIER, HOME, WAN_INTERFACE, Nat, NatKind
from .nat64 import Nat64
from .processes import Processes
from .site import Site

H = TypeVar("H", bound=Host)
Addresses = tuple[IPv4Address, IPv6Address]

HOSTS_IPV4 = IPv4Network("203.0.113.0/24")
NODES_IPV4 = IPv4Network("198.51.100.0/24")
LINKS_IPV4 = IPv4Network("192.0.2.0/24")
IPV6 = IPv6Network("2001:db8::/32")
LANS_IPV6 = IPv6Network("2001:db8:1::/48")
MAPPING_IPV4 = IPv4Network("25.0.113.0/24")
"""For routers that map ports: miniupnpd maps none where its own address is a TEST-NET's."""
GATEWAY_IPV4 = "203.0.113.254"
GATEWAY_IPV6 = "fe80::1"
FORWARDING = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}


@dataclass(frozen=True, slots=True)
class Link:
    """Two hosts joined directly, and their addresses on it."""

    cable: Cable
    a_ipv4: str
    b_ipv4: str
    a_ipv6: str
    b_ipv6: str


class Lab:
    """A context manager; needs root. Everything it made is gone afterwards, whatever happened inside."""

    def __init__(self) -> None:
        self.name = f"tv-{secrets.token_hex(3)}"
        self.directory = Path(tempfile.gettempdir(), f"toxvpn-lab-{self.name}")
        self.hosts: dict[str, Host] = {}
        self.nodes: list[BootstrapNode] = []
        self._processes = Processes()
        self._internet = Namespace(f"{self.name}-internet")
        self._made_hosts = 0
        self._made_nodes = 0
        self._made_links = 0
        self._made_uplinks = 0
        self._made_lans = 0
        self._record: registry.Record | None = None

    def __enter__(self) -> Self:
        self.sweep()
        self._record = registry.register(self.name, self.directory)
        try:
            _public_directory(self.directory)
            self._internet.create(FORWARDING)
            self._internet.configure("lo", [f"{GATEWAY_IPV4}/32"])
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the lab's programs and remove all of it. May be called twice."""
        try:
            self._processes.stop_all(self.name)
        finally:
            if self._record:
                registry.erase(self._record)

    @staticmethod
    def sweep() -> list[str]:
        """Remove what labs of killed runs have left behind, and return their names. Every new lab does so."""
        return registry.sweep()

    @property
    def nodes_json(self) -> Path:
        """The bootstrap nodes in the format of nodes.tox.chat, readable by everybody."""
        return self.directory / "nodes.json"

    def host(
        self, name: str, *, internet: bool = True, ipv6: bool = True, delay: Delay | None = None
    ) -> Host:
        """A host with public addresses; with `internet=False`, one to be joined by `link` alone.

        With both families, toxcore changes to IPv6 some seconds after it has connected over IPv4, one end
        before the other, which loses a few packets. A test that counts losses asks for `ipv6=False`.
        """
        host = self._new_host(Host, name)
        if internet:
            self._connect(host, self._host_address(), delay)
        if not ipv6:
            host.run(["ip", "-6", "route", "del", "default"])
            host.run(["ip", "-6", "addr", "flush", "dev", host.interface, "scope", "global"])
            host.ipv6 = None
        return host

    def nat(
        self,
        name: str,
        kind: NatKind = "cone",
        *,
        hairpin: bool = False,
        ipv6: bool = False,
        delay: Delay | None = None,
        maps: Collection[MappingProtocol] = (),
    ) -> Nat:
        """A NAT router on the internet; its `host` makes hosts behind it. For kinds see provision/nat.sh.

        With `ipv6` they have public IPv6 addresses too, behind a firewall. `maps`: the router maps ports for
        them, by these protocols (mapping.py).
        """
        nat = self._new_host(Nat, name)
        own4, own6 = self._host_address()
        if maps:
            own4 = _pick(MAPPING_IPV4, self._made_hosts)
        self._connect(nat, (own4, own6), delay)
        nat.open(kind, hairpin, HOME, self._new_host)
        if ipv6:
            self._delegate(nat)
        if maps:
            map_ports(nat, maps)
        return nat

    def nat64(self, name: str, kind: NatKind = "cone") -> Nat64:
        """A router to a network that has IPv6 only, which translates to IPv4."""
        nat = self._new_host(Nat64, name)
        self._connect(nat, self._host_address(), None)
        nat.open(kind, False, HOME, self._new_host)
        self._delegate(nat)
        nat.translate()
        return nat

    def carrier(self, name: str, kind: NatKind = "cone", *, hairpin: bool = False) -> Nat:
        """A provider's NAT: its LAN is 100.64.0.0/10, and its `nat` makes the routers of its customers."""
        nat = self._new_host(Nat, name)
        self._connect(nat, self._host_address(), None)
        nat.open(kind, hairpin, CARRIER, self._new_host)
        return nat

    def site(self, name: str, lan4: str, lan6: str) -> Site:
        """A router on the internet with a LAN; its `host` makes hosts there."""
        site = self._new_host(Site, name)
        self._connect(site, self._host_address(), None)
        site.open(IPv4Network(lan4), IPv6Network(lan6), lambda inner: self._new_host(Host, inner))
        return site

    def link(self, a: Host, b: Host, *, delay: Delay | None = None) -> Link:
        """Join two hosts by a cable of their own.

        For a host without internet it is the uplink: the way to everywhere, and where its addresses are.
        """
        v4 = [str(_pick(LINKS_IPV4, 2 * self._made_links + side)) for side in (0, 1)]
        self._made_links += 1
        v6 = [str(IPV6[(self._made_links << 64) + 1]), str(IPV6[(self._made_links << 64) + 2])]
        near, far = End(a.namespace, f"to-{b.name}"), End(b.namespace, f"to-{a.name}")
        cable = Cable.lay(near, far, delay, self._processes)
        for host, end, own, other in ((a, near, 0, 1), (b, far, 1, 0)):
            routes = []
            if not host.uplink:
                host.uplink, host.interface, host.ipv4, host.ipv6 = cable, end.interface, v4[own], v6[own]
                routes = [Route("default", v4[other]), Route("default", v6[other])]
            host.namespace.configure(end.interface, [f"{v4[own]}/31", f"{v6[own]}/64"], routes)
        return Link(cable, *v4, *v6)

    def delayed_link(self, a: Host, b: Host, *, delay_ms: float, loss_percent: float = 0.0) -> Link:
        """A `link` with this delay each way, losing packets in both directions."""
        link = self.link(a, b, delay=Delay(delay_ms))
        if loss_percent:
            link.cable.loss(loss_percent)
        return link

    def readdress(self, host: Host) -> None:
        """Give a host on the internet other addresses on the same interface, as a provider or DHCP does.

        They come at the moment at which the old ones go. Nobody else gets those.
        """
        host.namespace.flush(host.interface)
        self._give(host, self._host_address())

    def roam(self, host: Host) -> None:
        """Take a host on the internet to another network, as from Wi-Fi to 4G.

        It gets an uplink on a new interface, and the old one goes down.
        """
        old = host.interface
        self._made_uplinks += 1
        host.interface = f"wwan{self._made_uplinks}"
        host.uplink = self._lay_uplink(host, f"up{self._made_uplinks}-{host.name}", None)
        host.namespace.take_down(old)
        self._give(host, self._host_address())

    def bootstrap(self, count: int = 8) -> list[BootstrapNode]:
        """Start `count` bootstrap nodes, each on a host of its own, and list them in `nodes_json`."""
        hosts = []
        for _ in range(count):
            self._made_nodes += 1
            host = self._new_host(Host, f"node{self._made_nodes}")
            self._connect(host, (_pick(NODES_IPV4, self._made_nodes), IPV6[0x10000 + self._made_nodes]), None)
            hosts.append(host)
        self.nodes += start_nodes(hosts)
        write_nodes_json(self.nodes_json, self.nodes)
        return self.nodes

    def remove(self, host: Host) -> None:
        """Take one host away, with its files and all that runs on it. Its addresses stay unused.

        (A new Tox identity on the address and port of one that has just left is found only after a minute.)
        """
        del self.hosts[host.name]
        self._processes.stop_all(host.namespace.name)
        host.namespace.unplug()
        processes.erase(host.namespace.name)
        shutil.rmtree(host.directory)

    def _new_host(self, kind: type[H], name: str) -> H:
        if not re.fullmatch(r"[a-z0-9]{1,12}", name):
            raise LabError(
                f"{name!r} cannot name a host: 1 to 12 of a-z and 0-9 (interfaces are named after it)"
            )
        if name in self.hosts or name == "internet":
            raise LabError(f"there is a host {name!r} already")
        namespace = Namespace(f"{self.name}-{name}")
        namespace.create()
        directory = self.directory / name
        _public_directory(directory)
        host = self.hosts[name] = kind(name, namespace, self._processes, directory)
        return host

    def _host_address(self) -> Addresses:
        self._made_hosts += 1
        return _pick(HOSTS_IPV4, self._made_hosts), IPV6[self._made_hosts]

    def _connect(self, host: Host, addresses: Addresses, delay: Delay | None) -> None:
        host.interface = WAN_INTERFACE
        host.uplink = self._lay_uplink(host, f"to-{host.name}", delay)
        self._give(host, addresses)

    def _delegate(self, nat: Nat) -> None:
        """Give the router's LAN an IPv6 network."""
        self._made_lans += 1
        network = IPv6Network((LANS_IPV6[self._made_lans << 64], 64))
        nat.open6(IPv6Interface(f"{network[1]}/64"))
        assert nat.uplink
        self._internet.configure(nat.uplink.far.interface, (), [Route(str(network), nat.ipv6)])

    def _lay_uplink(self, host: Host, far_interface: str, delay: Delay | None) -> Cable:
        near, far = End(host.namespace, host.interface), End(self._internet, far_interface)
        cable = Cable.lay(near, far, delay, self._processes)
        self._internet.configure(far.interface, [f"{GATEWAY_IPV6}/64"])
        return cable

    def _give(self, host: Host, addresses: Addresses) -> None:
        """The host's addresses on its uplink, and the ways there and back."""
        host.ipv4, host.ipv6 = map(str, addresses)
        own = [f"{host.ipv4}/32", f"{host.ipv6}/128"]
        assert host.uplink
        self._internet.configure(host.uplink.far.interface, (), [Route(address) for address in own])
        ways = [Route(f"{GATEWAY_IPV4}/32"), Route("default", GATEWAY_IPV4), Route("default", GATEWAY_IPV6)]
        host.namespace.configure(host.interface, own, ways)


def _pick(network: IPv4Network, number: int) -> IPv4Address:
    if number >= network.num_addresses - 2:  # the last two are the gateway's and the broadcast address
        raise LabError(f"one lab has no more addresses in {network}")
    return network[number]


def _public_directory(path: Path) -> None:
    """Make it readable by the unprivileged users of the lab too, whatever our umask is."""
    path.mkdir(exist_ok=True)
    path.chmod(0o755)
