"""A site: a router on the internet with a LAN of its own behind it, without translation.

What the LAN's hosts send elsewhere, the router drops: it forwards nothing until a program makes it.
"""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network

from .cable import Cable, End
from .host import Host
from .namespace import Route

LAN_INTERFACE = "lan"


class Site(Host):
    """The router, made by Lab.site. In the networks of its LAN it has the first address."""

    lan4: IPv4Network
    lan6: IPv6Network
    _new_host: Callable[[str], Host]
    _hosts = 0

    def open(self, lan4: IPv4Network, lan6: IPv6Network, new_host: Callable[[str], Host]) -> None:
        self.lan4, self.lan6, self._new_host = lan4, lan6, new_host
        for switch in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.run(["sysctl", "-qw", f"{switch}=0"])  # a new namespace takes it over from the machine's
        self.namespace.add_link(ifname=LAN_INTERFACE, kind="bridge")
        self.namespace.configure(LAN_INTERFACE, self._addresses(1))

    def host(self, name: str) -> Host:
        """A host on the LAN, with addresses that end in 2 and up; it knows nobody but its router."""
        host = self._new_host(name)
        self._hosts += 1
        own = self._addresses(1 + self._hosts)
        host.ipv4, host.ipv6 = (address.partition("/")[0] for address in own)
        host.interface = "eth0"
        near, far = End(host.namespace, host.interface), End(self.namespace, f"to-{name}")
        host.uplink = Cable.lay(near, far, None, self._processes)
        self.namespace.configure(far.interface, master=LAN_INTERFACE)
        routes = [Route("default", str(network[1])) for network in (self.lan4, self.lan6)]
        host.namespace.configure(near.interface, own, routes)
        return host

    def _addresses(self, number: int) -> list[str]:
        return [f"{network[number]}/{network.prefixlen}" for network in (self.lan4, self.lan6)]
