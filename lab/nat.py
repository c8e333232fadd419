"""A home router: hosts behind it share a LAN (192.168.1.0/24 behind every one) and its one public address."""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Literal

from .cable import Cable, End
from .delayline import Delay
from .host import Host
from .namespace import Route
from .processes import PROVISION

NatKind = Literal["cone", "symmetric", "udp-blocked"]

LAN_INTERFACE = "lan"
WAN_INTERFACE = "eth0"
ROUTER = IPv4Address("192.168.1.1")
PREFIX = "/24"


class Nat(Host):
    """Made by Lab.nat. `ipv4` is its public address."""

    kind: NatKind = "cone"
    _new_host: Callable[[str], Host]
    _hosts = 0

    def open(self, kind: NatKind, new_host: Callable[[str], Host]) -> None:
        """Set up the LAN and the translation (provision/nat.sh); the uplink is there already."""
        self.kind = kind
        self._new_host = new_host
        self.namespace.add_link(ifname=LAN_INTERFACE, kind="bridge")
        self.namespace.configure(LAN_INTERFACE, [f"{ROUTER}{PREFIX}"])
        self.run([PROVISION / "nat.sh", kind])

    def host(self, name: str, *, delay: Delay | None = None) -> Host:
        """A host on the LAN: 192.168.1.2 is the first one, and IPv6 is link-local only."""
        host = self._new_host(name)
        self._hosts += 1
        host.ipv4 = str(ROUTER + self._hosts)
        host.interface = "eth0"
        near, far = End(host.namespace, host.interface), End(self.namespace, f"to-{name}")
        host.uplink = Cable.lay(near, far, delay, self._processes)
        self.namespace.configure(far.interface, master=LAN_INTERFACE)
        host.namespace.configure(near.interface, [f"{host.ipv4}{PREFIX}"], [Route("default", str(ROUTER))])
        return host

    def readdress(self, host: Host) -> None:
        """Give a host on the LAN another address there; the router's own stays."""
        self._hosts += 1
        host.ipv4 = str(ROUTER + self._hosts)
        host.namespace.flush(host.interface)
        host.namespace.configure(host.interface, [f"{host.ipv4}{PREFIX}"], [Route("default", str(ROUTER))])
