"""Site to site against peer to peer: what two routers cost that carry for hosts behind them.

Two routers on the lab's internet, each with a LAN and a host there that knows nothing of Tox. One TCP flow
each way over IPv4 and IPv6, by turns between the routers themselves and between the hosts behind them.
"""

import json
from functools import partial

from lab import Host, Lab, Site, apps, wait_until
from lab.bootstrap import start_nodes, write_nodes_json

from . import traffic
from .harness import ONLINE_S, OURS, arguments, median, progress, ratio, spread, table
from .vpn_pair import VpnSide

LANS = (("192.168.10.0/24", "fd00:10::/64"), ("192.168.20.0/24", "fd00:20::/64"))
FLOWS = {"IPv4 ->": (4, False), "IPv4 <-": (4, True), "IPv6 ->": (6, False), "IPv6 <-": (6, True)}
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


def ways(lab: Lab) -> dict[str, tuple[Host, dict[int, str]]]:
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
    for host in (routers[1], hosts[1]):
        apps.iperf3_server(host)
    for host, addresses in ends.values():
        for each in addresses.values():
            wait_until(partial(traffic.answers, host, each), f"answer from {each}", ONLINE_S)
    return ends


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=4)
    with Lab() as lab:
        ends = ways(lab)
        mbit: dict[str, dict[str, list[float]]] = {way: {flow: [] for flow in FLOWS} for way in WAYS}
        for run in range(given.runs):
            for flow, (version, reverse) in FLOWS.items():
                for way, (host, addresses) in ends.items():
                    rate = traffic.tcp_mbit(host, addresses[version], given.seconds, reverse=reverse)
                    mbit[way][flow].append(rate)
            progress(f"run {run + 1}: {', '.join(f'{w} {median(mbit[w][flow]):.0f} Mbit/s' for w in WAYS)}")
        rows = [[way, *(spread(mbit[way][flow], ".0f") for flow in FLOWS)] for way in WAYS]
        rows.append(["ratio", *(ratio(mbit[WAYS[1]][flow], mbit[WAYS[0]][flow]) for flow in FLOWS)])
        table(f"One TCP flow, Mbit/s, median of {given.runs} runs of {given.seconds} s", ["", *FLOWS], rows)


if __name__ == "__main__":
    main()
