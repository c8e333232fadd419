"""A NAT router: hosts behind it share a LAN (192.168.1.0/24 behind every one) and its one public address.

A carrier is one whose LAN is 100.64.0.0/10, with other routers on it.
"""

from ipaddress import IPv4Interface, IPv6Interface
from typing import Literal, Protocol, TypeVar

from .cable import Cable, End
from .delayline import Delay
from .host import Host
from .namespace import Route
from .processes import PROVISION

NatKind = Literal[
    "cone", "full-cone", "moved-cone", "symmetric", "udp-blocked", "https-only", "closed", "portal"
]
H = TypeVar("H", bound=Host)

LAN_INTERFACE = "lan"
WAN_INTERFACE = "eth0"
HOME = IPv4Interface("192.168.1.1/24")
CARRIER = IPv4Interface("100.64.0.1/10")


class NewHost(Protocol):
    def __call__(self, kind: type[H], name: str, /) -> H: ...


class Nat(Host):
    """Made by Lab.nat, Lab.carrier and Nat.nat. `ipv4` is its address on the other side."""

    kind: NatKind = "cone"
    lan: IPv4Interface
    lan6: IPv6Interface | None = None
    _new_host: NewHost
    _hosts = 0

    def open(self, kind: NatKind, hairpin: bool, lan: IPv4Interface, new_host: NewHost) -> None:
        """Set up the LAN and the translation (provision/nat.sh); the uplink is there already."""
        self.lan = lan
        self._new_host = new_host
        self.namespace.add_link(ifname=LAN_INTERFACE, kind="bridge")
        self.namespace.configure(LAN_INTERFACE, [str(lan)])
        self.become(kind, hairpin)

    def open6(self, lan6: IPv6Interface) -> None:
        """Have IPv6 on the LAN too, without translation and behind a firewall (provision/ipv6.sh)."""
        self.lan6 = lan6
        self.namespace.configure(LAN_INTERFACE, [str(lan6)])
        self.run([PROVISION / "ipv6.sh"])

    def become(self, kind: NatKind, hairpin: bool = False) -> None:
        """Translate as this kind from now on; what is connected stays so where the kind lets it."""
        self.kind = kind
        self.run([PROVISION / "nat.sh", kind, *(["hairpin"] if hairpin else [])])

    def host(self, name: str, *, delay: Delay | None = None) -> Host:
        """A host on the LAN: 192.168.1.2 is the first. IPv6 is link-local only, unless the LAN has more."""
        return self._connect(self._new_host(Host, name), delay)

    def nat(self, name: str, kind: NatKind = "cone", *, hairpin: bool = False) -> "Nat":
        """A home's router on the LAN of a carrier."""
        nat = self._connect(self._new_host(Nat, name), None)
        nat.open(kind, hairpin, HOME, self._new_host)
        return nat

    def isolate(self, *hosts: Host) -> None:
        """Let hosts on the LAN reach the router alone, as a Wi-Fi for guests does."""
        for host in hosts:
            port = ["ip", "link", "set", "dev", f"to-{host.name}"]
            self.run([*port, "type", "bridge_slave", "isolated", "on"])

    def readdress(self, host: Host) -> None:
        """Give a host on the LAN another address there; the router's own stays."""
        host.namespace.flush(host.interface)
        self._give(host)

    def _connect(self, host: H, delay: Delay | None) -> H:
        host.interface = WAN_INTERFACE
        near, far = End(host.namespace, host.interface), End(self.namespace, f"to-{host.name}")
        host.uplink = Cable.lay(near, far, delay, self._processes)
        self.namespace.configure(far.interface, master=LAN_INTERFACE)
        self._give(host)
        return host

    def _give(self, host: Host) -> None:
        self._hosts += 1
        host.ipv4 = str(self.lan.ip + self._hosts)
        self._configure(host, host.ipv4, self.lan)
        if self.lan6:
            host.ipv6 = str(self.lan6.ip + self._hosts)
            self._configure(host, host.ipv6, self.lan6)

    @staticmethod
    def _configure(host: Host, address: str, lan: IPv4Interface | IPv6Interface) -> None:
        own = [f"{address}/{lan.network.prefixlen}"]
        host.namespace.configure(host.interface, own, [Route("default", str(lan.ip))])
