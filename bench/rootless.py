"""`toxvpn exec` without root against root's VPN: TCP each way, and pings, to the same peer by turns.

One host has both: root's `toxvpn up`, and a user's `toxvpn up --user`. The peer has one VPN with the two.
"""

import json
import re
from functools import partial

from lab import Lab, apps, wait_until
from lab.bootstrap import start_nodes, write_nodes_json

from .harness import ONLINE_S, OURS, arguments, median, progress, ratio, spread, table
from .vpn_pair import VpnSide

USER = "nobody"
WAYS = {"IPv4 ->": ("ipv4", False), "IPv4 <-": ("ipv4", True), "IPv6 ->": ("ipv6", False)}
PINGS = 100


class Bench:
    """`sides`: the two that are measured, by name."""

    def __init__(self, lab: Lab) -> None:
        near, far = lab.host("near", internet=False), lab.host("far", internet=False)
        lab.link(near, far)
        nodes = far.directory / "nodes.json"
        write_nodes_json(nodes, start_nodes([far]))
        peer = VpnSide(far, nodes, OURS)
        self.sides = {
            "root's VPN": VpnSide(near, nodes, OURS),
            "exec": VpnSide(near, nodes, OURS, user=USER),
        }
        for side in self.sides.values():
            side.up(peer.tox_id)
        peer.up(*(side.tox_id for side in self.sides.values()))
        for side in self.sides.values():
            wait_until(partial(VpnSide.is_direct, side), "direct connection of toxvpn", ONLINE_S, 0.2)
        self.address = peer.status()["self"]
        apps.iperf3_server(far)

    def mbit(self, side: VpnSide, way: str, seconds: int) -> float:
        address, reverse = WAYS[way]
        words = [
            "iperf3",
            "-J",
            "-c",
            self.address[address],
            "-t",
            str(seconds),
            *(["-R"] if reverse else []),
        ]
        report = json.loads(side.run(words, timeout_s=seconds + 30))
        return float(report["end"]["sum_received"]["bits_per_second"]) / 1e6

    def ping_ms(self, side: VpnSide) -> float:
        words = ["ping", "-n", "-c", str(PINGS), "-i", "0.02", self.address["ipv4"]]
        return median([float(ms) for ms in re.findall(r" time=([\d.]+) ms", side.run(words, timeout_s=30))])


def row(title: str, ours: list[float], other: list[float], form: str) -> list[str]:
    return [title, spread(ours, form), spread(other, form), ratio(ours, other)]


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=4)
    with Lab() as lab:
        bench = Bench(lab)
        rates: dict[tuple[str, str], list[float]] = {}
        times: dict[str, list[float]] = {}
        for run in range(given.runs):
            for way in WAYS:
                for name, side in bench.sides.items():
                    rates.setdefault((name, way), []).append(bench.mbit(side, way, given.seconds))
            for name, side in bench.sides.items():
                times.setdefault(name, []).append(bench.ping_ms(side))
            progress(f"run {run + 1}")
    ours, roots = reversed(bench.sides)
    rows = [row(f"TCP {way}, Mbit/s", rates[ours, way], rates[roots, way], ".0f") for way in WAYS]
    rows.append(row("ping, ms", times[ours], times[roots], ".3f"))
    table("A command in a user's network against root's VPN", ("", ours, roots, "ratio"), rows)


if __name__ == "__main__":
    main()
