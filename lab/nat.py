"""A home router: hosts behind it share a LAN (192.168.1.0/24 behind every one) and its one public address."""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Literal

from .cable import Cable, End
from .delayline import Delay
from .host import Host
from .namespace import Route

NatKind = Literal["cone", "symmetric", "udp-blocked"]

LAN_INTERFACE = "lan"
WAN_INTERFACE = "eth0"
ROUTER = IPv4Address("192.168.1.1")
PREFIX = "/24"

FORWARDING = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}

# What comes from outside without being asked for is dropped, in INPUT too: a punch packet of the other side
# must not leave an entry of its own in the connection table, or the mapping it aims at moves to another port.
RULES = """
table ip nat {{
  chain postrouting {{
    type nat hook postrouting priority srcnat
    oifname "{wan}" masquerade {flags}
  }}
  chain input {{
    type filter hook input priority filter
    iifname "{wan}" ct state {{ new, invalid }} drop
  }}
  chain forward {{
    type filter hook forward priority filter
    iifname "{wan}" ct state {{ new, invalid }} drop
    {forward}
  }}
}}
"""


class Nat(Host):
    """Made by Lab.nat. `ipv4` is its public address."""

    kind: NatKind = "cone"
    _new_host: Callable[[str], Host]
    _hosts = 0

    def open(self, kind: NatKind, new_host: Callable[[str], Host]) -> None:
        """Set up the LAN and the translation; the uplink is there already.

        cone: a source port is kept as it is, whoever the packet goes to (unless another host has it).
        symmetric: a port at random for every destination, which defeats hole punching.
        udp-blocked: cone, and no UDP passes.
        """
        self.kind = kind
        self._new_host = new_host
        self.namespace.add_link(ifname=LAN_INTERFACE, kind="bridge")
        self.namespace.configure(LAN_INTERFACE, [f"{ROUTER}{PREFIX}"])
        flags = "fully-random" if kind == "symmetric" else ""
        forward = "meta l4proto udp drop" if kind == "udp-blocked" else ""
        self.namespace.nft(RULES.format(wan=WAN_INTERFACE, flags=flags, forward=forward))

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
