"""Site to site against peer to peer: what two routers cost that carry for hosts behind them.

Two routers on the lab's internet, each with a LAN and a host there that knows nothing of Tox. One TCP flow
each way over IPv4 and IPv6, by turns between the routers themselves and between the hosts behind them.
"""

import json
from functools import partial

from lab import Host, Lab, Site, wait_until
from lab.bootstrap import start_nodes, write_nodes_json

from . import traffic
from .harness import ONLINE_S, OURS, arguments
from .vpn_pair import VpnSide

LANS = (("192.168.10.0/24", "fd00:10::/64"), ("192.168.20.0/24", "fd00:20::/64"))
WAYS = ("peer to peer", "site to site")


def configure(side: VpnSide, lans: tuple[str, str], other: VpnSide) -> None:
    allow = json.dumps([f"{lans[0]}:*", f"[{lans[1]}]:*", "localhost:*"])
    side.directory.joinpath("config.toml").write_text(
        f"[vpn]\nadvertise = {json.dumps(lans)}\n"
        f'[peers.other]\nid = "{other.tox_id}"\nroutes = "all"\nallow = {allow}\n'
    )


def address(host: Host, version: int) -> str:
    found = host.ipv4 if version == 4 else host.ipv6
    assert found is not None
    return found


def ways(lab: Lab) -> traffic.Ends:
    """Both ways, up: who sends, and the address of the other end by IP version."""
    routers: list[Site] = [lab.site(name, *lans) for name, lans in zip(("near", "far"), LANS, strict=True)]
    hosts = [site.host(f"{site.name}1") for site in routers]
    nodes = routers[1].directory / "nodes.json"
    write_nodes_json(nodes, start_nodes([routers[1]]))
    sides = [VpnSide(site, nodes, OURS) for site in routers]
    for side, other, lans in zip(sides, reversed(sides), LANS, strict=True):
        configure(side, lans, other)
        side.up(other.tox_id)
    for side in sides:
        wait_until(partial(VpnSide.is_direct, side), "direct connection of toxvpn", ONLINE_S, 0.2)
    far = sides[1].status()["self"]
    ends = {
        WAYS[0]: (routers[0], {4: str(far["ipv4"]), 6: str(far["ipv6"])}),
        WAYS[1]: (hosts[0], {version: address(hosts[1], version) for version in (4, 6)}),
    }
    traffic.serve_flows(ends, routers[1], hosts[1])
    return ends


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=4)
    with Lab() as lab:
        traffic.compare_flows(ways(lab), given.runs, given.seconds)


if __name__ == "__main__":
    main()
