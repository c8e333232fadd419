"""Other programs on a machine with toxvpn, imitated by what they change in its network: that is all we see.

A device of theirs is a TUN that nobody reads, so that a packet which is routed into it is lost. Only what
they carry for the whole machine (an exit node, a full tunnel) goes on by the uplink, as if it came out
elsewhere.
"""

from dataclasses import dataclass, field

from lab import Host
from toxvpn.tun.host.device import TunDevice, open_tun


@dataclass(frozen=True)
class Neighbour:
    """`device`: a TUN, "" for none. `lines`: for ip(8), `tables`: for nft(8), when it starts.

    `rules` of `lines` are taken back one by one when it stops, links and tables as a whole.
    """

    lines: str
    device: str = ""
    links: tuple[str, ...] = ()
    tables: dict[str, str] = field(default_factory=dict)
    own_tables: tuple[str, ...] = ()

    def on(self, host: Host) -> "Running":
        return Running(self, host)


class Running:
    """A neighbour that has started on a host; `stop` ends it."""

    def __init__(self, neighbour: Neighbour, host: Host) -> None:
        self._neighbour, self._host = neighbour, host
        self._tun: TunDevice | None = host.call(open_tun, neighbour.device) if neighbour.device else None
        gateway, uplink = host.run(["ip", "-4", "route", "show", "default"]).stdout.split()[2:5:2]
        self._lines = neighbour.lines.format(gateway=gateway, uplink=uplink)
        for line in filter(None, map(str.strip, self._lines.splitlines())):
            host.run(["ip", *line.split()])
        for name, content in neighbour.tables.items():
            host.namespace.nft(f"table {name} {{ {content} }}")

    def stop(self) -> None:
        for line in map(str.strip, self._lines.splitlines()):
            if " rule add " in line:
                self._host.run(["ip", *line.replace(" add ", " del ").split()])
        for table in self._neighbour.own_tables:
            for family in ("-4", "-6"):
                self._host.run(["ip", family, "route", "flush", "table", table], check=False)
        for name in self._neighbour.tables:
            self._host.namespace.nft(f"delete table {name}")
        for link in self._neighbour.links:
            self._host.run(["ip", "link", "del", link])
        if self._tun:
            self._tun.close()


# -- Tailscale ----------------------------------------------------------------------------------

TAILSCALE_RULES = """
    {family} rule add priority 5210 fwmark 0x80000/0xff0000 lookup main
    {family} rule add priority 5230 fwmark 0x80000/0xff0000 lookup default
    {family} rule add priority 5250 fwmark 0x80000/0xff0000 type unreachable
    {family} rule add priority 5270 lookup 52
"""
TAILSCALE_TABLES = {
    "ip filter": """
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
    """,
    "ip6 filter": """
      chain ts-input {
        ip6 saddr fd7a:115c:a1e0::6501:6667 iifname "lo" accept
        iifname "tailscale0" accept
        udp dport 41641 accept
      }
      chain INPUT { type filter hook input priority filter; policy accept; jump ts-input; }
    """,
    "ip nat": """
      chain ts-postrouting { meta mark & 0x00ff0000 == 0x00040000 masquerade; }
      chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; jump ts-postrouting; }
    """,
}


def tailscale(*routes: str) -> Neighbour:
    """With MagicDNS and a peer; `routes` for its table 52 are lines of ip(8)."""
    lines = """
        link set tailscale0 up mtu 1280
        addr add 100.101.102.103/32 dev tailscale0
        addr add fd7a:115c:a1e0::6501:6667/128 dev tailscale0
    """
    usual = ("100.100.100.100/32", "100.88.77.66/32", "fd7a:115c:a1e0::/48")
    routed = [*(f"{route} dev tailscale0" for route in usual), *routes]
    lines += "".join(TAILSCALE_RULES.format(family=family) for family in ("-4", "-6"))
    lines += "\n".join(f"route add {route} table 52" for route in routed)
    return Neighbour(lines, "tailscale0", tables=TAILSCALE_TABLES, own_tables=("52",))


TAILSCALE = tailscale()
TAILSCALE_CGNAT = tailscale("100.64.0.0/10 dev tailscale0")
"""One route for the whole range, as a tailnet's settings may ask for."""
TAILSCALE_EXIT = tailscale("default via {gateway} dev {uplink}", "::/0 dev tailscale0")
TAILSCALE_SUBNET = tailscale("10.0.0.0/8 dev tailscale0")

# -- others -------------------------------------------------------------------------------------

NETBIRD = Neighbour(
    """
    link set wt0 up mtu 1280
    addr add 100.92.3.4/16 dev wt0
    -4 rule add priority 105 lookup main suppress_prefixlength 0
    -4 rule add priority 110 not fwmark 0x1bd00 lookup 7120
    """,
    "wt0",
    tables={
        "ip netbird": """
          chain netbird-acl-input-filter {
            type filter hook input priority filter; policy accept;
            iifname "wt0" ct state established,related accept
            iifname "wt0" drop
          }
        """
    },
    own_tables=("7120",),
)
WG_QUICK = Neighbour(
    """
    link set wg0 up mtu 1420
    addr add 10.66.66.2/32 dev wg0
    -4 route add default via {gateway} dev {uplink} table 51820
    -4 rule add priority 32765 not fwmark 51820 lookup 51820
    -4 rule add priority 32764 lookup main suppress_prefixlength 0
    -6 route add default dev wg0 table 51820
    -6 rule add priority 32765 not fwmark 51820 lookup 51820
    -6 rule add priority 32764 lookup main suppress_prefixlength 0
    """,
    "wg0",
    tables={
        "ip wg-quick-wg0": """
          chain preraw {
            type filter hook prerouting priority -300; policy accept;
            iifname != "wg0" ip daddr 10.66.66.2 fib saddr type != local drop
          }
          chain premangle {
            type filter hook prerouting priority -150; policy accept;
            meta l4proto udp meta mark set ct mark
          }
          chain postmangle {
            type filter hook postrouting priority -150; policy accept;
            meta l4proto udp meta mark 51820 ct mark set meta mark
          }
        """
    },
    own_tables=("51820",),
)
"""wg-quick(8) with AllowedIPs 0.0.0.0/0 and ::/0."""
DOCKER = Neighbour(
    """
    link add docker0 type bridge
    link set docker0 up
    addr add 172.17.0.1/16 dev docker0
    """,
    links=("docker0",),
    tables={
        "ip filter": """
          chain DOCKER-USER { return; }
          chain FORWARD {
            type filter hook forward priority filter; policy drop;
            jump DOCKER-USER
            oifname "docker0" ct state established,related accept
            iifname "docker0" accept
          }
        """,
        "ip nat": """
          chain POSTROUTING {
            type nat hook postrouting priority srcnat;
            ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
          }
        """,
    },
)
LIBVIRT = Neighbour(
    """
    link add virbr0 type bridge
    link set virbr0 up
    addr add 192.168.122.1/24 dev virbr0
    """,
    links=("virbr0",),
    tables={
        "ip libvirt_network": """
          chain forward {
            type filter hook forward priority filter; policy accept;
            iifname "virbr0" oifname != "virbr0" reject
          }
        """
    },
)


def lan(network: str) -> Neighbour:
    """A network of the place, or of containers, that appears; `network`: our address there."""
    lines = f"""
        link add lan0 type bridge
        link set lan0 up
        addr add {network} dev lan0
    """
    return Neighbour(lines, links=("lan0",))
