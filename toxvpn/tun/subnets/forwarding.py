"""Makes this machine a router between the VPN and its other networks: sysctls, masquerade.

In: NetworkChanges, and what may lie behind this machine. Out: changes that each have an undo. Neighbours:
`subnet_router` and the exit use it, `nftables` loads the tables.

Forwarding is a setting of the whole machine: with it, IPv6 takes no router advertisements any more on
interfaces where accept_ra is 1, and forgets the default route that came with one. So that becomes 2 first
(kernel, Documentation/networking/ip-sysctl.rst), also for interfaces to come.
"""

import logging
import re
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from ...errors import ToxvpnError
from ..host import nftables
from ..host.changes import read_sysctl
from ..host.netconf import NetworkChanges
from ..host.nftables import FAMILY_OF, table_name

log = logging.getLogger("toxvpn.tun")

SWITCHES = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
IPV6_INTERFACES = Path("/proc/sys/net/ipv6/conf")
_DROPS = re.compile(r"type filter hook forward .*policy drop;")


def lead_to(
    network: NetworkChanges,
    interface: str,
    advertised: Collection[IPv4Network | IPv6Network],
    *,
    snat: bool,
) -> None:
    """Makes this machine the router to what it advertises. Raises ToxvpnError."""
    if advertised:
        forward(network, {each.version for each in advertised})
        masquerade(network, interface, "subnets", advertised if snat else ())
        warn_of_firewall(interface)


def forward(network: NetworkChanges, versions: Collection[int]) -> None:
    """Makes the kernel forward packets of these IP versions. Raises ToxvpnError."""
    for version in sorted(versions):
        if version == 6 and read_sysctl(SWITCHES[6]) == "0":
            _keep_router_advertisements(network)
        network.set_sysctl(SWITCHES[version], "1")


def masquerade(
    network: NetworkChanges,
    interface: str,
    purpose: str,
    destinations: Collection[IPv4Network | IPv6Network] | None = None,
) -> None:
    """What peers send to `destinations` (None: to everywhere) leaves with this machine's own address.

    `purpose` names the nftables table, which is replaced as a whole; with no destinations there is none.
    Raises ToxvpnError.
    """
    name = table_name(purpose, interface)
    if destinations is not None and not destinations:
        network.remove_table("inet", name)
        return
    network.set_table("inet", name, masquerade_content(network.index(interface), destinations))


def masquerade_content(index: int, destinations: Collection[IPv4Network | IPv6Network] | None) -> str:
    """The content of the table; `index` is that of our device, which may be renamed."""
    from_peers = f"iif {index} oif != {index}"
    if destinations is None:
        rules = [f"{from_peers} masquerade"]
    else:
        rules = [
            f"{from_peers} {family} daddr {{ {', '.join(map(str, within))} }} masquerade"
            for version, family in FAMILY_OF.items()
            if (within := [each for each in destinations if each.version == version])
        ]
    body = "\n".join(f"    {rule}" for rule in rules)
    return f"  chain postrouting {{\n    type nat hook postrouting priority srcnat;\n{body}\n  }}"


def warn_of_firewall(interface: str) -> None:
    """Logs a line where another firewall drops what is forwarded, unless a rule of it says otherwise."""
    try:
        found = dropping_chains(nftables.run("list chains", "list the chains"))
    except ToxvpnError as failure:
        log.debug("%s", failure)
        return
    if found:
        log.warning(
            "a firewall here may drop what is to pass through this machine: the policy of %s is drop; "
            "allow there what comes from %s and what goes to it",
            " and ".join(found), interface,
        )  # fmt: skip


def dropping_chains(listing: str) -> list[str]:
    """The chains whose policy drops forwarded packets, e.g. ip filter FORWARD, in what `nft` lists."""
    found, table, chain = [], "", ""
    for line in map(str.strip, listing.splitlines()):
        if line.startswith("table "):
            table = line.removeprefix("table ").removesuffix(" {")
        elif line.startswith("chain "):
            chain = line.removeprefix("chain ").removesuffix(" {")
        elif _DROPS.match(line):
            found.append(f"{table} {chain}")
    return found


def _keep_router_advertisements(network: NetworkChanges) -> None:
    for place in sorted(IPV6_INTERFACES.iterdir()):
        key = f"net/ipv6/conf/{place.name}/accept_ra"
        if place.name != "all" and read_sysctl(key) == "1":
            network.set_sysctl(key, "2")
