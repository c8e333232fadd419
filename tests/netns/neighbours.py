"""Other programs on a machine with toxvpn, imitated by what they change in its network: that is all we see.

A device of theirs is a TUN that nobody reads, so that a packet which is routed into it is lost.
"""

from dataclasses import dataclass

from lab import Host
from toxvpn.tun.device import TunDevice, open_tun


@dataclass(frozen=True)
class Neighbour:
    """`device` is a TUN of its own, "" for none; `start` and `stop` are lines for ip(8), `nft` a ruleset."""

    device: str
    start: str
    stop: str = ""
    tables: str = ""
    drop: str = ""

    def on(self, host: Host) -> "Running":
        return Running(self, host)


class Running:
    """A neighbour that has started on a host; `stop` ends it."""

    def __init__(self, neighbour: Neighbour, host: Host) -> None:
        self._neighbour, self._host = neighbour, host
        self._tun: TunDevice | None = host.call(open_tun, neighbour.device) if neighbour.device else None
        self._ip(neighbour.start)
        if neighbour.tables:
            host.namespace.nft(neighbour.tables)

    def stop(self) -> None:
        if self._neighbour.drop:
            self._host.namespace.nft(self._neighbour.drop)
        self._ip(self._neighbour.stop)
        if self._tun:
            self._tun.close()

    def _ip(self, lines: str) -> None:
        for line in filter(None, map(str.strip, lines.splitlines())):
            self._host.run(["ip", *line.split()])


# -- Tailscale: net/tsaddr, wgengine/router and util/linuxfw of its source -----------------------------------

TAILSCALE_RULES = """
    {family} rule add priority 5210 fwmark 0x80000/0xff0000 lookup main
    {family} rule add priority 5230 fwmark 0x80000/0xff0000 lookup default
    {family} rule add priority 5250 fwmark 0x80000/0xff0000 type unreachable
    {family} rule add priority 5270 lookup 52
"""
TAILSCALE_FIREWALL = """
table ip filter {
  chain ts-input {
    ip saddr 100.101.102.103 iifname "lo" accept
    ip saddr 100.115.92.0/23 iifname != "tailscale0" return
    ip saddr 100.64.0.0/10 iifname != "tailscale0" drop
    iifname "tailscale0" accept
    udp dport 41641 accept
  }
  chain ts-forward {
    iifname "tailscale0" meta mark set meta mark & 0xff00ffff ^ 0x00040000
    meta mark & 0x00ff0000 == 0x00040000 accept
    ip saddr 100.64.0.0/10 oifname "tailscale0" drop
    oifname "tailscale0" accept
  }
  chain INPUT { type filter hook input priority filter; policy accept; jump ts-input; }
  chain FORWARD { type filter hook forward priority filter; policy accept; jump ts-forward; }
}
table ip6 filter {
  chain ts-input {
    ip6 saddr fd7a:115c:a1e0::6501:6667 iifname "lo" accept
    iifname "tailscale0" accept
    udp dport 41641 accept
  }
  chain INPUT { type filter hook input priority filter; policy accept; jump ts-input; }
}
table ip nat {
  chain ts-postrouting { meta mark & 0x00ff0000 == 0x00040000 masquerade; }
  chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; jump ts-postrouting; }
}
"""


def tailscale(*routes: str) -> Neighbour:
    """With peers and MagicDNS; `routes` are accepted from subnet routers or from an exit node."""
    routed = ("100.100.100.100/32", "100.88.77.66/32", "fd7a:115c:a1e0::/48", *routes)
    start = """
        link set tailscale0 up mtu 1280
        addr add 100.101.102.103/32 dev tailscale0
        addr add fd7a:115c:a1e0::6501:6667/128 dev tailscale0
    """
    rules = "".join(TAILSCALE_RULES.format(family=family) for family in ("-4", "-6"))
    table = "\n".join(f"route add {route} dev tailscale0 table 52" for route in routed)
    return Neighbour(
        "tailscale0",
        f"{start}\n{rules}\n{table}",
        stop=rules.replace(" add ", " del "),
        tables=TAILSCALE_FIREWALL,
        drop="delete table ip filter; delete table ip6 filter; delete table ip nat",
    )
